"""P7: a notification to a topic is brought to the connected subscribers at once, on every node.

The nodes also compare the heads of topics every 15 seconds, which would find a notification of
which no node was told. So it must be there sooner than that. Judged only if bus, store, the
publishing node and the device's node had no trouble.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check
from simulation.checks.known.inboxes import Inboxes
from simulation.checks.known.posts import ACCEPTED, Post
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory

_LATE: Final = 9.0
"""Seconds; less than the 15 after which heads are compared."""
_AFTERMATH: Final = 30.0
"""Seconds after a trouble in which it may still delay a notification."""


class Brought(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._inboxes = Inboxes(cluster)
        self._there: dict[SessionStory, float] = {}
        """By live session: the time since when it is live."""
        self._due: deque[tuple[float, RequestStory]] = deque()

    def asked(self, request: RequestStory) -> None:
        self._inboxes.asked(request)

    def answered(self, request: RequestStory) -> None:
        self._inboxes.answered(request)
        # A repetition may be answered for a post that was stored, and brought, much earlier.
        if request.operation == "publish" and request.status in ACCEPTED and request.attempt == 1:
            self._due.append((self.now + _LATE, request))

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        if frame["type"] in ("welcome", "changes"):
            self._inboxes.subscribers.saw(session.user, self.now)
        if frame["type"] == "synced":
            self._there.setdefault(session, self.now)

    def ended(self, session: SessionStory) -> None:
        self._there.pop(session, None)

    def look(self) -> None:
        while self._due and self._due[0][0] <= self.now:
            _, request = self._due.popleft()
            if self._all_was_well(request, request.host, "bus", "store"):
                self._judge(request)

    # --- Inside ----------------------------------------------------------------------------------

    def _all_was_well(self, request: RequestStory, *whom: str) -> bool:
        """Whether none of *whom*, through whom the news had to go, was in trouble."""
        since = request.asked_at - _AFTERMATH
        return not self.history.troubles.touch(since, self.now, *whom)

    def _judge(self, request: RequestStory) -> None:
        post = Post("", request.body, [request])
        topic = post.topic
        if topic is None or post.is_scheduled or post.collapse_key is not None:
            return
        if self._inboxes.may_be_forgotten(post, self.now):
            return
        id_, subscribers = request.answer["id"], self._inboxes.subscribers
        assert request.answered_at is not None
        # A request answered between these times may have changed the topic's subscribers.
        when = request.asked_at, self.now
        owners = self.cluster.store.rows(
            "SELECT i.user_id FROM notifications AS n"
            " LEFT JOIN inbox AS i ON i.notification_id = n.id"
            " WHERE n.id = ? AND n.standing = 'active'",
            id_,
        )
        users = {session.user: None for session in self._there if self._was_there(session, request)}
        for user in users:
            must = subscribers.must_have(user, topic, *when)
            must = must and not subscribers.may_have_muted(user, [request.body], *when)
            if owners and must and (user,) not in owners:
                text = f"is connected, and {id_}, published to {topic} at {request.asked_at:.3f},"
                self.violated("P7", user, f"{text} was not brought")

    def _was_there(self, session: SessionStory, request: RequestStory) -> bool:
        since = request.asked_at - 1.0
        return (
            self._there[session] < since
            and self.is_whole(session, since)
            and self._all_was_well(request, session.host)
        )
