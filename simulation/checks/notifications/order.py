"""P3: successive posts of one producer stand in each recipient's log in the order of the posts.

Judged at the end, by the sequence with which each post entered the log. Posts that enter a log at
another time are left out: scheduled ones, those to topics, and those that may renew an older post.

A post answered 202 may come after a later one answered 201, but only if a node was cut off from the
bus (`may_be_overtaken`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check
from simulation.checks.known.posts import SPOOLED, Post, Posts, may_be_overtaken, name_in
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory

_ENTRIES: Final = """
    SELECT json_extract(n.document, '$.title'), i.user_id, i.created_sequence
    FROM inbox AS i JOIN notifications AS n ON n.id = i.notification_id
    WHERE n.topic IS NULL AND n.collapse_key IS NULL
"""


class Order(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._posts = Posts()

    def asked(self, request: RequestStory) -> None:
        self._posts.asked(request)

    def finish(self) -> None:
        entered: dict[tuple[str, str], int] = {
            (name_in(title), user): sequence
            for title, user, sequence in self.cluster.store.rows(_ENTRIES)
        }
        # By producer and recipient: the posts so far which no later post may precede.
        lines: dict[tuple[str, str], list[tuple[Post, RequestStory]]] = {}
        for post in self._posts:
            acceptance = post.acceptance
            if acceptance is None or post.is_scheduled or post.collapse_key is not None:
                continue
            for user in post.users:
                if (post.name, user) in entered:
                    line = lines.setdefault((post.who, user), [])
                    self._compare(user, line, post, acceptance, entered)
                    line.append((post, acceptance))

    def _compare(
        self,
        user: str,
        line: list[tuple[Post, RequestStory]],
        post: Post,
        acceptance: RequestStory,
        entered: dict[tuple[str, str], int],
    ) -> None:
        asked_at, place = post.requests[0].asked_at, entered[post.name, user]
        for earlier, answer in reversed(line):
            assert answer.answered_at is not None
            if answer.answered_at > asked_at or may_be_overtaken(self.cluster, answer, acceptance):
                continue
            before = entered[earlier.name, user]
            if before > place:
                text = (
                    f"{earlier.name} (answered {answer.status} by {answer.host} at"
                    f" {answer.answered_at:.3f}) is {before} in the log of {user}, and {post.name}"
                    f" (asked at {asked_at:.3f}, answered {acceptance.status} by"
                    f" {acceptance.host}) is {place}"
                )
                self.violated("P3", post.who, text)
            if answer.status != SPOOLED:
                # Posts before this one were compared with it already.
                return
