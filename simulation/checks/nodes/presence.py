"""P7: a device that is said to be connected is or just was connected, and a connected one is named.

Any node is asked at any time. It knows devices on other nodes by leases. A departure is told at
once; a node that dies says nothing, and its leases end. If a connection breaks silently, its own
node only knows after missed pings, or when nothing it writes is taken. A polling device is
connected while a poll waits, which may be over when the answer comes.

`clients.census` compares the answers of all nodes at the end, when all is quiet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulation.checks.check import SETTINGS, Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory
from tocsin.actors.delivery.attendance import LEASE

_TOLD: Final = 1.0
"""Seconds in which a node has told the other nodes of an arrival or a departure."""
_RENEWED: Final = LEASE / 3 + _TOLD
"""Seconds in which a node renews all its leases, whatever happened before."""
_LEASED: Final = LEASE + _TOLD
"""Seconds for which a lease lasts at most if it is not renewed."""
_NOTICED: Final = 3 * SETTINGS.heartbeat + _LEASED
"""Seconds, if the node must first find out that the client is gone: two pings go unanswered."""
_UNHEARD: Final = "cut", "stalled"
"""Troubles in which a node does not learn that a client has left."""


@dataclass(slots=True)
class _Silence:
    """The answer to *asked* did not name *session*, which seemed to be connected."""

    asked: RequestStory
    session: SessionStory


class Presence(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._sessions: dict[str, list[SessionStory]] = {}
        """By user, in the order in which the sessions began."""
        self._welcomed: dict[SessionStory, float] = {}
        self._ended_processes: dict[tuple[str, int], float] = {}
        self._processes: dict[str, int | None] = {}
        self._silences: list[_Silence] = []

    def opened(self, session: SessionStory) -> None:
        self._sessions.setdefault(session.user, []).append(session)

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        if frame["type"] == "welcome":
            self._welcomed[session] = sent_at

    def answered(self, request: RequestStory) -> None:
        if request.operation != "show_presence" or request.status != 200:
            return
        user = request.path["user"]
        told = [(each["device"], each["node"]) for each in request.answer["devices"]]
        for device, node in told:
            self._judge_claim(request, user, device, node)
        for session in self._there_all_the_time(user, request):
            if (session.device, session.host) not in told:
                self._silences.append(_Silence(request, session))

    def look(self) -> None:
        for name, host in self.cluster.hosts.items():
            now = None if host.node is None else host.process_number
            before = self._processes.get(name)
            if before is not None and now != before:
                self._ended_processes[name, before] = self.now
            self._processes[name] = now
        silences, self._silences = self._silences, []
        for silence in silences:
            assert silence.asked.answered_at is not None
            if self.now < silence.asked.answered_at + _TOLD:
                self._silences.append(silence)
            else:
                self._judge_silence(silence)

    # --- Devices that were named -----------------------------------------------------------------

    def _judge_claim(self, request: RequestStory, user: str, device: str, node: str) -> None:
        sessions = [
            each
            for each in self._sessions.get(user, ())
            if (each.device, each.host) == (device, node)
        ]
        if not sessions:
            self._accuse(request, f"{device} is at {node}, where it never was")
            return
        if not any(self._may_be_said(each, request) for each in sessions):
            ended_at = max(map(self._end_of, sessions))
            self._accuse(request, f"{device} is at {node}, which it left at {ended_at:.3f}")

    def _may_be_said(self, session: SessionStory, request: RequestStory) -> bool:
        return request.asked_at - self._end_of(session) <= self._limit(session)

    def _end_of(self, session: SessionStory) -> float:
        """When *session* ended, as far as it can be known outside its node."""
        ended_at = math.inf if session.ended_at is None else session.ended_at
        died_at = self._ended_processes.get((session.host, session.process), math.inf)
        return min(ended_at, died_at)

    def _limit(self, session: SessionStory) -> float:
        """Seconds for which *session* may be named after its end."""
        troubles, host, began_at = self.history.troubles, session.host, session.began_at
        until = self.now
        if troubles.touch_by(until - _NOTICED, until, host, "stalled", "stopped"):
            # The end of the connection has reached the node, which notices it when it continues.
            return math.inf
        if troubles.touch_by(began_at, until, host, *_UNHEARD):
            return _NOTICED
        ended_at = self._end_of(session)
        if (
            self._was_killed(host, session.process)
            or troubles.touch(ended_at - _LEASED, until, "bus")
            or troubles.touch_by(ended_at - _LEASED, until, host, "bus_away", "crash")
        ):
            return _LEASED
        return _TOLD

    def _was_killed(self, host: str, process: int) -> bool:
        """Whether the process was killed (also for stopping slowly) and so released no leases."""
        died_at = self._ended_processes.get((host, process))
        if died_at is None:
            return False
        is_mended = died_at >= self.cluster.plan.duration
        return is_mended or self.history.troubles.touch_by(died_at - 1.0, died_at, host, "killed")

    # --- Devices that were not named -------------------------------------------------------------

    def _there_all_the_time(self, user: str, request: RequestStory) -> list[SessionStory]:
        """The last session of each device of *user*, if it lives since before *request*."""
        latest: dict[str, SessionStory] = {}
        for session in self._sessions.get(user, ()):
            latest[session.device] = session
        return [
            each
            for each in latest.values()
            if each.ended_at is None
            and self._welcomed.get(each, math.inf) < request.asked_at - _TOLD
        ]

    def _judge_silence(self, silence: _Silence) -> None:
        session, asked = silence.session, silence.asked
        since = asked.asked_at - _RENEWED
        is_there = session.ended_at is None and self._is_latest(session)
        if not is_there or not self.is_whole(session, since):
            return
        if self.history.troubles.touch(since, self.now, session.host, "bus"):
            return
        self._accuse(asked, f"{session.device} is not at {session.host}, and it is")

    def _is_latest(self, session: SessionStory) -> bool:
        others = self._sessions[session.user]
        return all(each.began_at <= session.began_at for each in others if _same(each, session))

    def _accuse(self, request: RequestStory, what: str) -> None:
        text = f"asked at {request.asked_at:.3f}, {request.host} says that {what}"
        self.violated("P7", request.path["user"], text)


def _same(one: SessionStory, other: SessionStory) -> bool:
    return (one.user, one.device) == (other.user, other.device)
