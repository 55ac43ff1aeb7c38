"""Scripts of subscriptions and preferences.

Both hold from now on: what was published before is owed as it was. So users are brought up to date
before anything is changed, and whoever joins a topic begins at its head. A user's subscriptions
change under the lock of the user's row, which is held when this begins; the head and the number of
subscribers are read and written under the lock of the topic's row, and so is whether it is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.logs.topic_heads import Move, advance_topics
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.scripts.topics.bring import Brought, bring, users_of
from tocsin.persistence.store import (
    SUBSCRIPTIONS_MAX,
    PreferencesSet,
    Result,
    SetPreferences,
    SetTopic,
    Subscribe,
    Subscribed,
    TopicClosed,
    TopicSet,
    Unsubscribe,
)

_PREFERENCES_INSERT: Final = pick("kind", "name", "enabled", user_id="user")

Pair = tuple[str, str]
"""A user and a topic."""


_Command = Subscribe | Unsubscribe | SetTopic


class _Preference(NamedTuple):
    user: str
    kind: str
    name: str
    enabled: bool


class _Subscriptions(msgspec.Struct):
    """Subscriptions as they are planned: what was there *before*, and which are *active* now."""

    before: dict[Pair, bool]
    active: dict[Pair, bool]
    counts: dict[str, int]
    """In how many topics each user is."""
    closed: set[str]
    """The topics that users cannot enter by themselves."""

    def has_room(self, user: str) -> bool:
        return self.counts.get(user, 0) < SUBSCRIPTIONS_MAX

    def move(self, pair: Pair, *, joined: bool) -> None:
        self.active[pair] = joined
        self.counts[pair[0]] = self.counts.get(pair[0], 0) + (1 if joined else -1)


def change_subscriptions(
    commands: Sequence[tuple[int, Any]], results: list[Result], brought: Brought
) -> Script[None]:
    """Run *commands*, whose users are locked and *brought* up to date as far as one look does."""
    if not commands:
        return
    of_users = [command for _, command in commands if not isinstance(command, SetTopic)]
    now_ms = max((command.now_ms for command in of_users), default=0)
    concerned = {user for command in of_users for user in users_of(command)}
    yield from _catch_up(concerned & brought.behind, brought, now_ms)
    moves = [(index, each) for index, each in commands if not isinstance(each, SetPreferences)]
    if moves:
        yield from _move(moves, results, brought, now_ms)
    settings = [(index, each) for index, each in commands if isinstance(each, SetPreferences)]
    if settings:
        yield from _set_preferences(settings, results)


def subscribed_topics(
    users: Iterable[str], *, left_too: bool = False
) -> Script[dict[str, tuple[str, ...]]]:
    """The topics that each of *users* is in by name, the one of everyone left out.

    With *left_too* those that they have left as well, whose news still concern what they have.
    """
    asked = sorted(set(users))
    topics: dict[str, tuple[str, ...]] = {}
    rows = yield from run("subscriptions_read", user_id=asked, left_too=[left_too] * len(asked))
    for row in rows:
        topics[row.user_id] = (*topics.get(row.user_id, ()), row.topic)
    return topics


def _move(
    moves: Sequence[tuple[int, _Command]], results: list[Result], brought: Brought, now_ms: int
) -> Script[None]:
    subscriptions = yield from _read([command for _, command in moves])
    planned = [_plan(command, subscriptions) for _, command in moves]
    yield from _save(subscriptions, brought, now_ms)
    yield from _set_topics(
        [(index, each) for index, each in moves if isinstance(each, SetTopic)], results
    )
    for (index, command), plan in zip(moves, planned, strict=True):
        if plan is None:
            results[index] = TopicClosed(command.topic)
        elif not isinstance(command, SetTopic):
            changed, refused = plan
            # Now: saving may have brought something more.
            heads = {user: brought.heads[user] for user in command.users if user in brought.heads}
            joined = isinstance(command, Subscribe)
            members = tuple(each for each in command.users if joined and each not in refused)
            results[index] = Subscribed(command.topic, joined, changed, refused, heads, members)


def _catch_up(users: Collection[str], brought: Brought, now_ms: int) -> Script[None]:
    """Bring *users* what one look left, however much it is: it must not be lost by the change."""
    behind = set(users)
    while behind:
        more, _ = yield from bring(sorted(behind), now_ms)
        brought.heads |= more.heads
        behind = more.behind
    brought.behind -= set(users)


def _read(commands: Sequence[_Command]) -> Script[_Subscriptions]:
    moving = [command for command in commands if not isinstance(command, SetTopic)]
    pairs = sorted({(user, command.topic) for command in moving for user in command.users})
    rows = yield from run(
        "subscriptions_known",
        user_id=[user for user, _ in pairs],
        topic=[topic for _, topic in pairs],
    )
    before = {(row.user_id, row.topic): bool(row.active) for row in rows}
    joining = [command for command in moving if isinstance(command, Subscribe)]
    users = {user for command in joining for user in command.users}
    rows = yield from run("subscriptions_count", user_id=sorted(users))
    counts = {row.user_id: row.topics for row in rows}
    closed: set[str] = set()
    if any(command.by_user for command in joining):
        # All that are about to be locked, so that everybody locks in one order.
        rows = yield from run(
            "topics_closed", topic=sorted({command.topic for command in commands})
        )
        closed = {row.topic for row in rows if row.closed}
    return _Subscriptions(before, dict(before), counts, closed)


def _plan(
    command: _Command, subscriptions: _Subscriptions
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Who is in or out now and was not before, and who has no room for it; `None` where a topic is
    closed to who wants to enter.
    """
    if isinstance(command, SetTopic):
        subscriptions.closed.discard(command.topic)
        if command.closed:
            subscriptions.closed.add(command.topic)
        return (), ()
    joined = isinstance(command, Subscribe)
    if isinstance(command, Subscribe) and command.by_user and command.topic in subscriptions.closed:
        return None
    changed: list[str] = []
    refused: list[str] = []
    for user in command.users:
        pair = (user, command.topic)
        if subscriptions.active.get(pair, False) == joined:
            continue
        if joined and not subscriptions.has_room(user):
            refused.append(user)
            continue
        subscriptions.move(pair, joined=joined)
        changed.append(user)
    return tuple(changed), tuple(refused)


def _save(subscriptions: _Subscriptions, brought: Brought, now_ms: int) -> Script[None]:
    before = subscriptions.before
    changed = {
        pair: active
        for pair, active in subscriptions.active.items()
        if active != before.get(pair, False)
    }
    moves: dict[str, int] = defaultdict(int)
    for (_, topic), active in changed.items():
        moves[topic] += 1 if active else -1
    heads = yield from advance_topics(
        {topic: Move(joined=joined) for topic, joined in moves.items()}
    )
    # Nothing is added to these topics any more. What was, since these users were brought up to
    # date, may be an update or a withdrawal of what they have from the time they were in before.
    returning = {
        user for (user, topic), active in changed.items() if active and (user, topic) in before
    }
    yield from _catch_up(returning, brought, now_ms)
    # Of a topic to which nothing was ever published nobody has anything: it is left without a
    # trace, or a user could go in and out of new ones for ever.
    gone = [pair for pair, active in changed.items() if not active and heads[pair[1]].head == 0]
    forgotten = set(gone)
    kept = {pair: active for pair, active in changed.items() if pair not in forgotten}
    yield from run(
        "subscriptions_save",
        user_id=[user for user, _ in kept],
        topic=[topic for _, topic in kept],
        position=[heads[topic].head if active else 0 for (_, topic), active in kept.items()],
        active=list(kept.values()),
    )
    yield from run(
        "subscriptions_forget",
        user_id=[user for user, _ in gone],
        topic=[topic for _, topic in gone],
    )
    yield from run("topics_forget", topic=sorted({topic for _, topic in gone}))


def _set_topics(commands: Sequence[tuple[int, SetTopic]], results: list[Result]) -> Script[None]:
    last = {command.topic: command.closed for _, command in commands}
    topics = sorted(last)
    rows = yield from run("topics_close", topic=topics, closed=[last[topic] for topic in topics])
    subscribers = {row.topic: row.subscribers for row in rows}
    yield from run("topics_forget", topic=[topic for topic in topics if not last[topic]])
    for index, command in commands:
        results[index] = TopicSet(command.topic, command.closed, subscribers[command.topic])


def _set_preferences(
    commands: Sequence[tuple[int, SetPreferences]], results: list[Result]
) -> Script[None]:
    last = {command.user: command for _, command in commands}
    yield from run("preferences_delete", user_id=sorted(last))
    preferences = [
        _Preference(user, kind, name, enabled)
        for user, command in sorted(last.items())
        for kind, named in (("category", command.categories), ("topic", command.topics))
        for name, enabled in sorted(named.items())
    ]
    yield from run("preferences_insert", **_PREFERENCES_INSERT(preferences))
    rows = yield from run("users_lock", user_id=sorted(last))
    heads = {row.user_id: row.head for row in rows}
    for index, command in commands:
        results[index] = PreferencesSet(command.user, heads[command.user])
