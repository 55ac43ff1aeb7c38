"""The posts of producers, each with its repetitions, and the changes requested for them.

A post is known by its title up to the first dot, which no update changes. So it is found in the
store under whatever id, and however often it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory

SPOOLED: Final = 202
"""The status of a post that went into the spool."""
_APART: Final = ("bus_away", "deaf", "killed", "restarted", "stopped")
"""Troubles in which a node may not know that entries wait in the spool."""
_AFTERMATH: Final = 10.0
"""Seconds after such a trouble for which the node may still not know it."""
ACCEPTED: Final = frozenset({200, 201, SPOOLED, 204})
"""Statuses of a post, a change or a withdrawal that will be kept."""


@dataclass(slots=True)
class Post:
    """One post; *requests* are its repetitions, in order."""

    name: str
    body: dict[str, Any]
    requests: list[RequestStory] = field(default_factory=list)

    @property
    def who(self) -> str:
        return self.requests[0].who

    @property
    def key(self) -> str | None:
        return self.requests[0].key

    @property
    def is_scheduled(self) -> bool:
        return "deliver_at" in self.body

    @property
    def collapse_key(self) -> str | None:
        key: str | None = self.body.get("collapse_key")
        return key

    @property
    def users(self) -> list[str]:
        """The recipients that are named."""
        return list(self.body["to"].get("users", ()))

    @property
    def topic(self) -> str | None:
        """The topic to which it goes; `*` is the topic of all users."""
        topic: str | None = "*" if self.body["to"].get("all") else self.body["to"].get("topic")
        return topic

    @property
    def asked_at(self) -> float:
        """The time of its first request; from then on it may have been done, whatever the
        answer."""
        return self.requests[0].asked_at

    @property
    def acceptance(self) -> RequestStory | None:
        """The first of its requests that was answered with success."""
        for request in self.requests:
            if request.status in ACCEPTED:
                return request
        return None


class Posts:
    """All posts of a run, and all changes requested, by the id of the notification."""

    def __init__(self) -> None:
        self.by_name: dict[str, Post] = {}
        self.updates: dict[str, list[RequestStory]] = {}
        self.withdrawals: dict[str, list[RequestStory]] = {}

    def asked(self, request: RequestStory) -> None:
        """Note *request*, if it is a post or a change."""
        match request.operation:
            case "publish":
                name = name_in(request.body["title"])
                post = self.by_name.setdefault(name, Post(name, request.body))
                post.requests.append(request)
            case "update_notification":
                self.updates.setdefault(request.path["notification"], []).append(request)
            case "withdraw_notification":
                self.withdrawals.setdefault(request.path["notification"], []).append(request)
            case _:
                pass

    def __iter__(self) -> Iterator[Post]:
        return iter(self.by_name.values())


def name_in(title: str) -> str:
    """The name of the post with this *title*."""
    return title.partition(".")[0]


def may_be_overtaken(cluster: Cluster, earlier: RequestStory, later: RequestStory) -> bool:
    """Whether *later* may have been done first, though it was requested after *earlier* was
    answered.

    A spooled post comes after posts that are committed by a node that does not reach the bus, or
    has just started (docs/cluster.md).
    """
    if earlier.status != SPOOLED or later.status == SPOOLED:
        return False
    assert later.answered_at is not None
    since, until = earlier.asked_at - _AFTERMATH, later.answered_at
    troubles = cluster.history.troubles
    return troubles.touch(since, until, "bus") or any(
        troubles.touch_by(since, until, host, *_APART) for host in cluster.hosts
    )


def may_have_been_done(request: RequestStory) -> bool:
    """Whether it is unknown if *request* was done."""
    return request.status is None or request.status >= 500
