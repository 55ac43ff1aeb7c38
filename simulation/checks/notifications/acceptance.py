"""P1: no accepted post is lost, and none is doubled. Judged at the end, in the store.

A post that was answered with success must be stored exactly once and stand in the log of each
recipient, unless a request or its `ttl` ended it. A post that was refused or never answered may be
stored, but once. A change that was answered with success must show, unless a later change may have
replaced it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from simulation.checks.check import Check
from simulation.checks.known.inboxes import Inboxes
from simulation.checks.known.posts import (
    ACCEPTED,
    SPOOLED,
    Post,
    may_be_overtaken,
    may_have_been_done,
    name_in,
)
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory

_FIELDS: Final = ("title", "body", "url", "priority", "category")


@dataclass(slots=True)
class _Stored:
    """A notification in the store, and the users whose inboxes have it."""

    id: str
    standing: str
    revision: int
    expires_at: int | None
    collapse_key: str | None
    document: dict[str, Any]
    users: dict[str, None] = field(default_factory=dict)


class Acceptance(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._inboxes = Inboxes(cluster)
        self._posts = self._inboxes.posts

    def asked(self, request: RequestStory) -> None:
        self._inboxes.asked(request)

    def answered(self, request: RequestStory) -> None:
        self._inboxes.answered(request)

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        self._inboxes.heard(session, frame)

    def settled(self) -> str | None:
        stored = {name_in(each.document["title"]): each for each in self._read().values()}
        for post in self._posts:
            found = stored.get(post.name)
            if found is None or found.standing != "active" or post.acceptance is None:
                continue
            for user in self._must_have(post, found.id):
                if user not in found.users and not self._may_be_gone(post):
                    return f"{user} has not got {post.name}"
        return None

    def finish(self) -> None:
        stored = self._read()
        by_name: dict[str, list[_Stored]] = {}
        for each in stored.values():
            by_name.setdefault(name_in(each.document["title"]), []).append(each)
        collapsing = {each.collapse_key for each in stored.values()}
        for post in self._posts:
            self._judge(post, by_name.get(post.name, []), stored, collapsing)
        for id_, each in stored.items():
            self._judge_changes(id_, each)

    # --- Posts -----------------------------------------------------------------------------------

    def _judge(
        self,
        post: Post,
        found: list[_Stored],
        stored: dict[str, _Stored],
        collapsing: set[str | None],
    ) -> None:
        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            self.violated("P1", post.name, f"posted once, stored as {ids}")
        self._compare_answers(post, stored)
        acceptance = post.acceptance
        if acceptance is None:
            return
        if post.collapse_key is not None:
            # A later post with the key may have replaced the content, so only the key is looked
            # for.
            if post.collapse_key not in collapsing and not self._may_be_gone(post):
                self.violated("P1", post.name, f"{_told(acceptance)}, and nothing is stored")
        elif not found:
            if not self._may_be_gone(post):
                self.violated("P1", post.name, f"{_told(acceptance)}, and is not stored")
        else:
            self._judge_recipients(post, found[0], acceptance)

    def _compare_answers(self, post: Post, stored: dict[str, _Stored]) -> None:
        """All repetitions of a post must be answered with one id, and with one that is stored."""
        ids = {
            request.answer["id"]: None
            for request in post.requests
            # A spooled post is answered with a new id; if an earlier request stored the post, that
            # id never exists.
            if request.status in ACCEPTED and request.status != SPOOLED
        }
        if len(ids) > 1:
            self.violated("P1", post.name, f"the same key was answered with {', '.join(ids)}")
        for id_ in ids:
            if id_ not in stored and not self._may_be_gone(post):
                self.violated("P1", post.name, f"was answered {id_}, which is not stored")

    def _judge_recipients(self, post: Post, stored: _Stored, acceptance: RequestStory) -> None:
        if stored.standing != "active":
            self._judge_end(post, stored)
            return
        for user in self._must_have(post, stored.id):
            if user not in stored.users and not self._may_be_gone(post):
                self.violated("P1", post.name, f"{_told(acceptance)}, and {user} has it not")
        for user in stored.users:
            if not self._may_have(post, stored.id, user):
                self.violated("P1", post.name, f"is not for {user}, who has it")

    def _must_have(self, post: Post, id_: str) -> Iterator[str]:
        members, topic = self._inboxes.subscribers, post.topic
        since, until = self._inboxes.done_between(post)
        bodies = self._inboxes.bodies(post, [id_])
        for user in post.users if topic is None else self.cluster.plan.user_names:
            must = topic is None or members.must_have(user, topic, since, until)
            if must and not members.may_have_muted(user, bodies, since, until):
                yield user

    def _may_have(self, post: Post, id_: str, user: str) -> bool:
        members, topic = self._inboxes.subscribers, post.topic
        since, until = self._inboxes.done_between(post)
        if members.must_have_muted(user, self._inboxes.bodies(post, [id_]), since, until):
            return False
        if topic is None:
            return user in post.users
        return members.may_have(user, topic, since, until)

    def _may_be_gone(self, post: Post) -> bool:
        return self._inboxes.may_be_forgotten(post, self.now)

    def _judge_end(self, post: Post, stored: _Stored) -> None:
        asked = stored.id in self._posts.withdrawals or any(
            # The producer of a spooled post withdraws it by the id that the spool gave.
            request.status == SPOOLED and request.answer["id"] in self._posts.withdrawals
            for request in post.requests
        )
        if stored.standing == "withdrawn" and not asked:
            self.violated("P1", post.name, "is withdrawn without a request")
        elif stored.standing == "expired" and stored.expires_at is None:
            self.violated("P1", post.name, "has expired, and has no such time")
        elif stored.standing == "scheduled" and not post.is_scheduled:
            self.violated("P1", post.name, "is scheduled without a request")

    # --- Changes ---------------------------------------------------------------------------------

    def _judge_changes(self, id_: str, stored: _Stored) -> None:
        for request in self._posts.withdrawals.get(id_, ()):
            if request.status in ACCEPTED and stored.standing != "withdrawn":
                self.violated("P1", id_, f"{_told(request)}, and is {stored.standing}")
        if stored.standing == "active" and stored.collapse_key is None:
            for name in _FIELDS:
                self._judge_field(id_, name, stored)

    def _judge_field(self, id_: str, name: str, stored: _Stored) -> None:
        requests = [each for each in self._posts.updates.get(id_, ()) if name in each.body]
        done = [each for each in requests if each.status in ACCEPTED]
        last = [each for each in done if not any(self._comes_behind(other, each) for other in done)]
        possible = [each.body[name] for each in requests if may_have_been_done(each)]
        possible += [each.body[name] for each in last]
        if last and stored.document[name] not in possible:
            seen = stored.document[name]
            self.violated(
                "P1", id_, f"{_told(last[-1])}: {name} is {seen!r}, not {last[-1].body[name]!r}"
            )

    def _comes_behind(self, later: RequestStory, earlier: RequestStory) -> bool:
        """Whether *later* must have been done after *earlier*."""
        assert earlier.answered_at is not None
        if later is earlier or earlier.answered_at > later.asked_at:
            return False
        return not may_be_overtaken(self.cluster, earlier, later)

    # --- The store -------------------------------------------------------------------------------

    def _read(self) -> dict[str, _Stored]:
        rows = self.cluster.store.rows(
            "SELECT id, standing, revision, expires_at, collapse_key, document FROM notifications"
        )
        stored: dict[str, _Stored] = {}
        for id_, standing, revision, expires_at, key, text in rows:
            document = msgspec.json.decode(text)
            stored[id_] = _Stored(id_, standing, revision, expires_at, key, document)
        for id_, user in self.cluster.store.rows("SELECT notification_id, user_id FROM inbox"):
            stored[id_].users[user] = None
        return stored


def _told(request: RequestStory) -> str:
    """The operation, status and host of *request*, for the text of a violation."""
    return f"{request.operation} was answered {request.status} by {request.host}" + (
        f" at {request.answered_at:.3f}" if request.answered_at is not None else ""
    )
