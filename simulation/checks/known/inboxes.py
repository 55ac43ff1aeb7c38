"""The contents that each inbox must have, by the requests and answers of clients: `inbox_model`.

From the store this only takes the title of each notification, because a post that was never
answered has no other name. Requests become deeds by these rules:

- A post was done between its first request and the answer that accepted it; if it was spooled,
  scheduled or not answered, at any time after its first request.
- Whether a user is in the topic, and has muted it, is decided at that time.
- The clocks of nodes may be wrong; deeds that depend on the time of day may be early or late by as
  much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulation.checks.known import inbox_model as model
from simulation.checks.known.inbox_model import Deed, Place
from simulation.checks.known.posts import SPOOLED, Post, Posts, may_have_been_done, name_in
from simulation.checks.known.replays import Replays
from simulation.checks.known.subscribers import Subscribers
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, sequence_of

_STORED: Final = (200, 201)
"""Statuses of a post that is in the store."""
_DONE: Final = (200, 204)
"""Statuses of a mark, a replay or a withdrawal that was done."""
_LATE: Final = 25.0
"""Seconds after which a due notification is surely done: the scheduler looks every fifteen."""
_ROUNDED: Final = 0.01
"""Seconds of tolerance: times of day are in milliseconds."""


@dataclass(slots=True)
class _Index:
    """Posts by the id of their notification, or by their collapse key while the id is not known."""

    places: dict[str, int] = field(default_factory=dict)
    """By name, in the order in which they were asked for."""
    stored: dict[str, list[Post]] = field(default_factory=dict)
    renewing: dict[str, list[Post]] = field(default_factory=dict)


class Inboxes:
    """See the module; a check passes on to it all that it is told."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.posts = Posts()
        self.subscribers = Subscribers()
        self._marks: dict[str, list[RequestStory]] = {}
        self._first_archived = math.inf
        self._first_heard: dict[tuple[str, str], float] = {}
        """By user and notification: the smallest sequence that was pushed to a device."""
        self._replays = Replays()
        self._index: _Index | None = None
        """Of all posts, as they are known now; made when it is needed."""

    # --- Events ----------------------------------------------------------------------------------

    def asked(self, request: RequestStory) -> None:
        self._index = None
        self.posts.asked(request)
        self.subscribers.asked(request)
        self._replays.asked(request)
        if request.operation == "mark":
            user = request.who.partition("/")[0]
            self._marks.setdefault(user, []).append(request)
            if request.body["state"] == "archived":
                self._first_archived = min(self._first_archived, request.asked_at)

    def answered(self, request: RequestStory) -> None:
        self._index = None
        self._replays.answered(request)

    def heard(self, session: SessionStory, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self.subscribers.saw(session.user, self.cluster.history.now())
            case "push":
                self._pushed(session.user, frame)
            case "changes":
                self.subscribers.saw(session.user, self.cluster.history.now())
                for push in frame["changes"]:
                    self._pushed(session.user, push)
            case _:
                pass

    # --- Questions -------------------------------------------------------------------------------

    def places(self, id_: str, title: str, user: str, now: float) -> list[Place]:
        """The places that notification *id_* with this *title* may have with *user*."""
        return model.possible(self._deeds(id_, self._posts_of(id_, title), user), now)

    def expires(self, id_: str, title: str) -> bool:
        """Whether a post that became the notification has a `ttl`."""
        return any(_expires(post) for post, _ in self._posts_of(id_, title))

    def may_be_forgotten(self, post: Post, now: float) -> bool:
        """Whether *post* may have been purged by *now*."""
        plan, begun = self.cluster.plan, self._begun(post)
        if post.collapse_key is not None:
            # It may have renewed an older notification, which is purged by its own age.
            begun = 0.0
        since = [begun + plan.retention] if plan.retention else []
        if plan.retention_archived:
            since.append(self._first_archived + plan.retention_archived)
        if plan.retention_expired and _expires(post):
            since.append(begun + post.body["ttl"] - self._skew + plan.retention_expired)
        return now >= min(since, default=math.inf) - self._skew

    def may_have_marked(self, user: str, id_: str) -> bool:
        """Whether *user* has requested a mark that may concern *id_*."""
        return any(_may_concern(each, id_) for each in self._marks.get(user, ()))

    def may_have_changed(self, id_: str, user: str) -> bool:
        """Whether a request may have made the server push *id_* to *user* again."""
        return (
            id_ in self.posts.updates
            or id_ in self.posts.withdrawals
            or self.may_have_marked(user, id_)
            or any(post.collapse_key is not None for post, _ in self._posts_of(id_, ""))
        )

    def done_between(self, post: Post) -> tuple[float, float]:
        """The times between which *post* was published."""
        stored = [each for each in post.requests if each.status in _STORED]
        if post.is_scheduled:
            return self._begun(post) - self._ahead, math.inf
        if not stored or any(each.status == SPOOLED for each in post.requests):
            return post.asked_at, math.inf
        assert stored[0].answered_at is not None
        return post.asked_at, stored[0].answered_at

    def bodies(self, post: Post, ids: Iterable[str]) -> list[dict[str, Any]]:
        """All contents that *post* may have had when its recipients were decided."""
        if post.topic is None and not post.is_scheduled:
            return [post.body]
        # A notification of a topic is brought to users with the content that it has by then.
        changes = [request.body for id_ in ids for request in self.posts.updates.get(id_, ())]
        told = [post.body, *changes]
        categories = dict.fromkeys(each["category"] for each in told if "category" in each)
        priorities = dict.fromkeys(each["priority"] for each in told if "priority" in each)
        return [
            {**post.body, "category": category, "priority": priority}
            for category in (post.body.get("category", "default"), *categories)
            for priority in (post.body.get("priority", "normal"), *priorities)
        ]

    def uncollapsed(self) -> Iterator[tuple[str, str]]:
        """Posts that should have renewed an earlier notification, and did not: name and reason."""
        by_key: dict[str, list[Post]] = {}
        for post in self.posts:
            if post.collapse_key is not None and self._stored_as(post) is not None:
                by_key.setdefault(post.collapse_key, []).append(post)
        for posts in by_key.values():
            for earlier in posts:
                for later in posts:
                    if later is not earlier and self._should_renew(earlier, later):
                        told = f"{self._stored_as(later)} and not {self._stored_as(earlier)}"
                        yield later.name, f"has the key of {earlier.name}, and became {told}"

    # --- Deeds -----------------------------------------------------------------------------------

    def _deeds(self, id_: str, posts: Sequence[tuple[Post, bool]], user: str) -> list[Deed]:
        deeds: list[Deed] = []
        for post, is_sure in posts:
            deeds += self._arrivals(id_, post, user, is_sure=is_sure)
        if not deeds:
            return deeds
        of_topic = any(post.topic is not None for post, _ in posts)
        ids = dict.fromkeys([id_, *(each for post, _ in posts for each in _ids_of(post))])
        for each in ids:
            for request in self.posts.withdrawals.get(each, ()):
                deeds += _asked(request, model.withdrawn(of_topic=of_topic), sure=each == id_)
        deeds += self._expiries(id_, posts, user, of_topic=of_topic)
        for request in self._marks.get(user, ()):
            deeds += self._marking(request, id_, user, posts)
        was_archived = self._may_have_archived(user, id_)
        deeds += self._purges(posts, deeds, was_archived=was_archived)
        return deeds

    def _arrivals(self, id_: str, post: Post, user: str, *, is_sure: bool) -> Iterator[Deed]:
        since, until = self.done_between(post)
        bodies, members = self.bodies(post, [id_, *_ids_of(post)]), self.subscribers
        topic = post.topic
        if topic is None:
            may = must = user in post.users
        else:
            may = members.may_have(user, topic, since, until)
            must = members.must_have(user, topic, since, until)
        if not may or members.must_have_muted(user, bodies, since, until):
            return
        must = must and is_sure and not members.may_have_muted(user, bodies, since, until)
        if post.is_scheduled:
            until = self._begun(post) + self._behind + _LATE
            must = must and until < self.cluster.history.now()
        if _expires(post) and (post.is_scheduled or until == math.inf):
            # A post that expires before it is delivered never arrives.
            must = False
        if topic is not None and self._is_late(since):
            must = False
        yield Deed(since, until, model.arrives, must)

    def _is_late(self, since: float) -> bool:
        """Whether a post to a topic at *since* may be purged before it is brought to a user."""
        retention = self.cluster.plan.retention
        return bool(retention) and self.cluster.history.now() >= since + retention - self._skew

    def _expiries(
        self, id_: str, posts: Sequence[tuple[Post, bool]], user: str, *, of_topic: bool
    ) -> Iterator[Deed]:
        expire = model.expired(of_topic=of_topic)
        for post, _ in posts:
            if not _expires(post):
                continue
            ttl: float = post.body["ttl"]
            # One node's clock decides when the time is over, and another's finds it over.
            since = self._begun(post) + ttl - self._skew
            _, until = self.done_between(post)
            until += ttl + self._skew + _LATE
            yield Deed(since, until, expire, until < self.cluster.history.now())
            for request in self._replays.of(user, id_):
                yield from _asked(request, model.revived)
                again = self._replays.first_of(id_) + ttl - self._skew - _ROUNDED
                yield Deed(again, math.inf, expire, sure=False)

    def _marking(
        self, request: RequestStory, id_: str, user: str, posts: Sequence[tuple[Post, bool]]
    ) -> Iterator[Deed]:
        body = request.body
        if "ids" in body:
            if id_ in body["ids"]:
                yield from _asked(request, model.marked(body["state"], by_id=True))
            return
        is_sure = True
        if "through" in body:
            first = self._first_heard.get((user, id_), math.inf)
            # A renewed notification gets a new sequence, so the smallest one that was pushed says
            # nothing.
            renews = any(post.collapse_key is not None for post, _ in posts)
            is_sure = not renews and first <= sequence_of(body["through"])
        yield from _asked(request, model.marked(body["state"], by_id=False), sure=is_sure)

    def _purges(
        self, posts: Sequence[tuple[Post, bool]], deeds: Sequence[Deed], *, was_archived: bool
    ) -> Iterator[Deed]:
        plan = self.cluster.plan
        since = min(self._begun(post) for post, _ in posts) - self._skew
        first = min(deed.since for deed in deeds) - self._skew
        if plan.retention:
            yield Deed(since + plan.retention, math.inf, model.purged(), sure=False)
        if plan.retention_archived:
            archived = max(first, self._first_archived - self._skew) + plan.retention_archived
            yield Deed(archived, math.inf, model.purged(state="archived"), sure=False)
            if was_archived:
                # It goes by the time at which it was archived, also if it was withdrawn since.
                yield Deed(archived, math.inf, model.purged(state="withdrawn"), sure=False)
        expiring = [self._begun(post) + post.body["ttl"] for post, _ in posts if _expires(post)]
        if plan.retention_expired and expiring:
            over = min(expiring) - 2 * self._skew + plan.retention_expired
            yield Deed(over, math.inf, model.purged(end="expired"), sure=False)

    # --- Inside ----------------------------------------------------------------------------------

    def _may_have_archived(self, user: str, id_: str) -> bool:
        marks = [each for each in self._marks.get(user, ()) if each.body["state"] == "archived"]
        return any(_may_concern(each, id_) for each in marks)

    def _pushed(self, user: str, push: Frame) -> None:
        key = user, push["notification"]["id"]
        self._first_heard[key] = min(self._first_heard.get(key, math.inf), push["sequence"])

    def _posts_of(self, id_: str, title: str) -> list[tuple[Post, bool]]:
        """The posts that became notification *id_*, or may have; and whether each surely did."""
        index = self._index = self._index or self._indexed()
        found = {each.name: (each, True) for each in index.stored.get(id_, ())}
        post = self.posts.by_name.get(name_in(title))
        if post is None:
            return list(found.values())
        if (key := post.collapse_key) is not None:
            found |= {each.name: (each, False) for each in index.renewing.get(key, ())}
        elif self._stored_as(post) is None:
            found[post.name] = post, any(one.status == SPOOLED for one in post.requests)
        return sorted(found.values(), key=lambda each: index.places[each[0].name])

    def _indexed(self) -> _Index:
        index = _Index()
        for post in self.posts:
            index.places[post.name] = len(index.places)
            if (stored_as := self._stored_as(post)) is not None:
                index.stored.setdefault(stored_as, []).append(post)
            elif (key := post.collapse_key) is not None and _may_be_stored(post):
                index.renewing.setdefault(key, []).append(post)
        return index

    def _stored_as(self, post: Post) -> str | None:
        """The id under which a node has said that *post* is stored."""
        for request in post.requests:
            if request.status in _STORED:
                id_: str = request.answer["id"]
                return id_
        return None

    def _should_renew(self, earlier: Post, later: Post) -> bool:
        """Whether the notification of *earlier* surely existed all the time *later* took."""
        id_, became = self._stored_as(earlier), self._stored_as(later)
        assert id_ is not None
        (_, since), (begun, until) = self.done_between(earlier), self.done_between(later)
        if since >= begun or became == id_ or until == math.inf:
            return False
        if any(each.asked_at <= until for each in self.posts.withdrawals.get(id_, ())):
            return False
        if self.cluster.plan.retention and until >= self.cluster.plan.retention - self._skew:
            return False
        places = [
            model.possible(self._deeds(id_, [(earlier, True)], user), until)
            for user in earlier.users
        ]
        return all(not place.end and place.state != "absent" for each in places for place in each)

    def _begun(self, post: Post) -> float:
        """The earliest time at which *post* can have been published, by the right clock."""
        if not post.is_scheduled:
            return post.asked_at
        return max(post.asked_at, self.cluster.moment_of(post.body["deliver_at"]))

    @property
    def _ahead(self) -> float:
        return max(host.clock_most for host in self.cluster.hosts.values()) / 1000

    @property
    def _behind(self) -> float:
        return -min(host.clock_least for host in self.cluster.hosts.values()) / 1000

    @property
    def _skew(self) -> float:
        """The largest difference, in seconds, that two nodes' clocks have had."""
        return self._ahead + self._behind + _ROUNDED


def _may_be_stored(post: Post) -> bool:
    return any(each.status == SPOOLED or may_have_been_done(each) for each in post.requests)


def _may_concern(mark: RequestStory, id_: str) -> bool:
    return "ids" not in mark.body or id_ in mark.body["ids"]


def _expires(post: Post) -> bool:
    return "ttl" in post.body


def _ids_of(post: Post) -> list[str]:
    """The ids with which the requests of *post* were answered."""
    return [each.answer["id"] for each in post.requests if each.status in (*_STORED, SPOOLED)]


def _asked(request: RequestStory, move: model.Move, *, sure: bool = True) -> Iterator[Deed]:
    """The deed that *request* asks for, if it may have been done."""
    if request.status in _DONE:
        assert request.answered_at is not None
        yield Deed(request.asked_at, request.answered_at, move, sure)
    elif request.status == SPOOLED:
        yield Deed(request.asked_at, math.inf, move, sure)
    elif may_have_been_done(request):
        yield Deed(request.asked_at, math.inf, move, sure=False)
