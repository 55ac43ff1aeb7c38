"""Who is said to be connected is, or was until just now; and who is connected is said to be (P7).

Any node is asked at any time. Of those on other nodes it knows by leases: who leaves is told of
within a moment, who dies says nothing, and its leases end. Of a connection that has broken without
a word its own node knows only when nobody has answered its pings, or taken what it writes. A device
that polls is there while a poll waits, which may be over by the time of the answer.

That all nodes say exactly what is, once all is quiet, is seen by the run (`census`).
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
"""Seconds in which a node has told of who came or left."""
_RENEWED: Final = LEASE / 3 + _TOLD
"""Seconds in which all that a node has to tell is told again, whatever happened to it."""
_LEASED: Final = LEASE + _TOLD
"""Seconds for which a node's word lasts, at the most, if it says no more."""
_NOTICED: Final = 3 * SETTINGS.heartbeat + _LEASED
"""The same, where it has to find out that nobody is there: two pings go unheard."""
_UNHEARD: Final = "cut", "stalled"
"""What keeps a node from hearing that somebody has left."""


@dataclass(slots=True)
class _Silence:
    """*asked* was answered without *session*, which seemed to be there."""

    asked: RequestStory
    session: SessionStory


class Presence(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._sessions: dict[str, list[SessionStory]] = {}
        """Of each user, in the order in which they began."""
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

    # --- What was said ---------------------------------------------------------------------------

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
        """When it ended, as far as anybody but its node could know."""
        ended_at = math.inf if session.ended_at is None else session.ended_at
        died_at = self._ended_processes.get((session.host, session.process), math.inf)
        return min(ended_at, died_at)

    def _limit(self, session: SessionStory) -> float:
        """Seconds for which it may be said that *session* goes on."""
        troubles, host, began_at = self.history.troubles, session.host, session.began_at
        until = self.now
        if troubles.touch_by(until - _NOTICED, until, host, "stalled", "stopped"):
            # What has come to its node is heard there when it goes on.
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
        """Whether it could not take back what it said; who is slow to stop is killed as well."""
        died_at = self._ended_processes.get((host, process))
        if died_at is None:
            return False
        is_mended = died_at >= self.cluster.plan.duration
        return is_mended or self.history.troubles.touch_by(died_at - 1.0, died_at, host, "killed")

    # --- What was not said -----------------------------------------------------------------------

    def _there_all_the_time(self, user: str, request: RequestStory) -> list[SessionStory]:
        """The sessions of *user* that began before *request*, as far as their devices know."""
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
