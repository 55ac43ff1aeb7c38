"""P7 and P8: a device has one session. Older ones are ended on whatever node, each with a goodbye.

A node that does not hear the others cannot know that a device has come elsewhere. So it is given
time, and trouble of the bus, the store or one of the two nodes excuses it. If two sessions of a
device arrive at the same time on two nodes, the order on the bus says which of them stays
(docs/architecture.md). The device cannot know that order: either may stay, if the other has ended.
When a node stops, its sessions must end with a goodbye.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, SessionStory

_REPLACED: Final = 6.0
"""Seconds in which an older session has ended, or is no longer pushed to."""
_TOGETHER: Final = 0.01
"""Seconds after a session's welcome in which its arrival may still be on its way to the bus."""
_AFTERMATH: Final = 15.0
"""Seconds after a trouble in which two nodes may still not have heard of each other's sessions."""


class Single(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._latest: dict[tuple[str, str], tuple[SessionStory, float]] = {}
        self._welcomed: dict[SessionStory, float] = {}
        self._is_ending = False

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        key = session.user, session.device
        if frame["type"] == "welcome":
            self._welcomed[session] = sent_at
            latest, _ = self._latest.get(key, (session, 0.0))
            if latest.began_at <= session.began_at:
                self._latest[key] = session, sent_at
        elif frame["type"] == "push":
            latest, since = self._latest.get(key, (session, sent_at))
            is_late = session is not latest and sent_at > since + _REPLACED
            if is_late and not self._may_stay(session, latest):
                self._accuse(session, latest, since, frame["sequence"])

    def ended(self, session: SessionStory) -> None:
        self._welcomed.pop(session, None)
        node = self.cluster.hosts[session.host].node
        is_told = session.goodbye is not None or session.welcome is None
        is_its_own = session.process == self.cluster.hosts[session.host].process_number
        if not (self._is_ending and is_its_own and not is_told):
            return
        if node is not None and node.is_stopping:
            self.violated("P7", f"{session.user}/{session.device}", "ended without a goodbye")

    def finish(self) -> None:
        # From now on no device leaves and no connection breaks; sessions end only because nodes
        # stop.
        self._is_ending = True

    def _may_stay(self, session: SessionStory, latest: SessionStory) -> bool:
        """Whether *session* arrived together with *latest*, which has ended instead."""
        welcomed_at = self._welcomed.get(session, session.began_at)
        return latest.ended_at is not None and latest.began_at <= welcomed_at + _TOGETHER

    def _accuse(
        self, session: SessionStory, latest: SessionStory, since: float, sequence: int
    ) -> None:
        hosts = session.host, latest.host
        if self.history.troubles.touch(since - _AFTERMATH, self.now, "bus", "store", *hosts):
            return
        who = f"{session.user}/{session.device}"
        text = f"{sequence} was pushed on its session at {session.host}#{session.process}"
        other = f"which another at {latest.host}#{latest.process} replaced at {since:.3f}"
        self.violated("P8", who, f"{text}, {other}")
