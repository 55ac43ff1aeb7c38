"""P7: a node that does not hear the cluster, or has lost the store, says so, also to its devices.

A node needs some seconds to notice that a service is lost, or back; during these, both answers are
right. After them, devices must have been told by `status`, before any other frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulation.checks.check import Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, SessionStory
from simulation.world.host import Host
from simulation.world.node import Node

_DEAF: Final = ("deaf", "bus_away")
_KNOWN: Final = 5.5
"""Seconds until a node that hears nothing knows it and has told its devices: four, and slack."""
_KNOWN_OF_STORE: Final = 25.0
"""The same for the store, which may hang for one time-out and then for another."""
_REGAINED: Final = 12.0
"""Seconds after which a node knows that the bus is back, if it has reached the store: without the
secret in the store it believes nobody on the bus, itself included."""
_STORE_REGAINED: Final = 18.0
"""The same for the store: a call's time-out (10), and at most 6 until the next probe."""


@dataclass(slots=True)
class _Told:
    """The state of the bus that a session was told last, and when the session was welcomed."""

    since: float
    bus: str = "ok"


def _has_left(node: Node) -> bool:
    """Whether *node* has said goodbye to the bus, and ends as soon as its last writes are done.

    By then it serves no device and no producer, so its word about the bus reaches no client.
    """
    return node.is_stopping and not node.has_part("cluster")


class Honesty(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._told: dict[SessionStory, _Told] = {}
        self._started: dict[tuple[str, int], float] = {}
        self._reached: dict[tuple[str, int], float] = {}
        """By host and process: when it said for the first time that the store is there."""

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        match frame["type"]:
            case "welcome":
                self._told[session] = _Told(sent_at)
            case "status":
                if session in self._told:
                    self._told[session].bus = frame["bus"]
            case "push" | "synced":
                if (told := self._told.get(session)) is not None:
                    self._judge_told(session, told, sent_at)
            case _:
                pass

    def ended(self, session: SessionStory) -> None:
        self._told.pop(session, None)

    def look(self) -> None:
        for host in self.cluster.hosts.values():
            node = host.node
            if node is None or (services := node.services) is None or node.process.is_stopped:
                continue
            process = host.name, host.process_number
            up_since = self._started.setdefault(process, self.now)
            if services.status.available:
                self._reached.setdefault(process, self.now)
            if self.cluster.plan.nodes > 1 and not _has_left(node):
                reached = self._reached.get(process, math.inf)
                self._judge(host, "bus", services.bus.available, up_since, reached)
            self._judge(host, "store", services.status.available, up_since, up_since)

    # --- Inside ----------------------------------------------------------------------------------

    def _judge(
        self, host: Host, hop: str, is_available: bool, up_since: float, able_since: float
    ) -> None:
        """Judge what *host*, up since a time, says of *hop*, which it can reach since another."""
        now, troubles = self.now, self.history.troubles
        if is_available:
            known = _KNOWN if hop == "bus" else _KNOWN_OF_STORE
            since = now - known
            if since > up_since and self._is_cut_off(host.name, hop, since, now):
                self.violated("P7", host.name, f"takes the {hop} to be there since {since:.3f}")
            return
        regained = _REGAINED if hop == "bus" else _STORE_REGAINED
        if now - regained > able_since and not troubles.touch(
            now - regained, now, host.name, hop, "store"
        ):
            self.violated("P7", host.name, f"takes the {hop} to be lost, and it is there")

    def _is_cut_off(self, host: str, hop: str, since: float, until: float) -> bool:
        """Whether *host* did not reach *hop* between the two times, and was running all the
        time."""
        troubles = self.history.troubles
        found = [
            troubles.suffered(who, kind, since, until)
            for kind in (_DEAF if hop == "bus" else ("store_away",))
            for who in (host, hop)
        ]
        started = self._started.get((host, self.cluster.hosts[host].process_number), until)
        # `deaf` is a fault of one process: the next one on the host hears.
        is_so = any(
            trouble is not None and (trouble.what != "deaf" or trouble.began_at >= started)
            for trouble in found
        )
        return is_so and not troubles.touch_by(since, until, host, "stopped")

    def _judge_told(self, session: SessionStory, told: _Told, sent_at: float) -> None:
        since = sent_at - _KNOWN
        if told.bus == "ok" and since > told.since:
            if self._is_cut_off(session.host, "bus", since, sent_at):
                text = f"was not told that the bus is lost, by {sent_at:.3f}"
                self.violated("P7", f"{session.user}/{session.device}", text)
        elif told.bus != "ok" and not self.history.troubles.touch(
            sent_at - _REGAINED, sent_at, session.host, "bus", "store"
        ):
            text = f"was not told that the bus is back, by {sent_at:.3f}"
            self.violated("P7", f"{session.user}/{session.device}", text)
