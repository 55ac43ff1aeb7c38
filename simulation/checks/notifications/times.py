"""P1: no notification is delivered before its time, or after it has expired.

A scheduled notification stands in no log and no list before its time (`counters` compares the
counters with the logs). Any node may release it, so it may be early by as much as some node's clock
is ahead. An expired notification is neither pushed, live or again, nor listed; whether it has
expired is decided by the clock of the node that pushes or lists it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check, Complaint
from simulation.checks.known.posts import ACCEPTED, name_in
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory

_ROUNDED: Final = 0.002
"""Seconds of tolerance: times of day are in milliseconds."""
_ON_ITS_WAY: Final = 0.05
"""Seconds that a push may take from the node's look at its expiry until it leaves the node."""
_ENTERED: Final = "SELECT 1 FROM inbox WHERE notification_id = ? LIMIT 1"


class Times(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._due: dict[str, float] = {}
        """By post name: the time at which a scheduled post is to be delivered."""
        self._pending: dict[str, str] = {}
        """By id: the names of accepted posts that are not due yet."""

    def asked(self, request: RequestStory) -> None:
        if request.operation == "publish" and "deliver_at" in request.body:
            name = name_in(request.body["title"])
            self._due[name] = self.cluster.moment_of(request.body["deliver_at"])

    def answered(self, request: RequestStory) -> None:
        assert request.answered_at is not None
        if request.operation == "publish" and request.status in ACCEPTED:
            name = name_in(request.body["title"])
            if self._due.get(name, 0.0) > self.now:
                self._pending[request.answer["id"]] = name
        elif request.operation == "list_inbox" and request.status == 200:
            for notification in request.answer["notifications"]:
                self._judge_start(notification, request.who, request.answered_at, "was listed")
                self._judge_list(notification, request)

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        pushes = frame["changes"] if frame["type"] == "changes" else [frame]
        who = f"{session.user}/{session.device}"
        for push in pushes if frame["type"] in ("changes", "push") else ():
            self._judge_start(push["notification"], who, sent_at, "was pushed")
            self._judge_push(session, push, sent_at)

    def look(self) -> None:
        for id_, name in list(self._pending.items()):
            due = self._due[name]
            if due <= self.now:
                del self._pending[id_]
            elif self.cluster.store.rows(_ENTERED, id_) and not self._is_ahead(due - self.now):
                text = f"{id_} is in the inbox, and to be delivered at {due:.3f}"
                self.violated("P1", name, text)

    # --- Inside ----------------------------------------------------------------------------------

    def _judge_start(self, notification: Frame, who: str, at: float, what: str) -> None:
        due = self._due.get(name_in(notification["title"]), 0.0)
        early = due - at
        if early > _ROUNDED and not self._is_ahead(early):
            text = f"{notification['id']} {what} at {at:.3f}, {early:.3f} s before its time"
            self.violated("P1", who, text)

    def _judge_push(self, session: SessionStory, push: Frame, sent_at: float) -> None:
        late = self._late(push["notification"], sent_at)
        if late > _ON_ITS_WAY and not self._is_behind(session.host, late):
            # A push waits for the store in a poll's answer, and in a stream for the task that
            # writes it.
            waits, since = session.transport != "websocket", sent_at - late
            if waits and self.history.troubles.touch(since, self.now, session.host, "store"):
                return
            text = f"{push['sequence']} was sent {late:.3f} s after it had expired"
            self.complain(session, Complaint("P1", text))

    def _judge_list(self, notification: Frame, request: RequestStory) -> None:
        late = self._late(notification, request.asked_at)
        if late > _ROUNDED and not self._is_behind(request.host, late):
            text = f"{notification['id']} was listed {late:.3f} s after it had expired"
            self.violated("P1", request.who, text)

    def _late(self, notification: Frame, at: float) -> float:
        expires_at = notification["expires_at"]
        return 0.0 if expires_at is None else at - self.cluster.moment_of(expires_at)

    def _is_ahead(self, seconds: float) -> bool:
        """Whether some node's clock has been ahead by *seconds*."""
        hosts = self.cluster.hosts.values()
        return any(host.clock_most >= 1000 * (seconds - _ROUNDED) for host in hosts)

    def _is_behind(self, host: str, seconds: float) -> bool:
        """Whether the clock of *host* has been behind by *seconds*."""
        return self.cluster.hosts[host].clock_least <= -1000 * (seconds - _ON_ITS_WAY)
