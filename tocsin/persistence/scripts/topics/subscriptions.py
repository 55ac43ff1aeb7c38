"""Scripts of subscriptions and preferences.

Changes of both hold from now on: notifications that were published before are delivered by the
former ones. So users are brought up to date before anything changes, and a user who joins a topic
begins at its head. A user's subscriptions change under the lock of the user's row, which is held
when this begins. A topic's head, its number of subscribers and whether it is closed are read and
written under the lock of the topic's row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.addresses import save_channel_preferences
from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.logs.topic_heads import Move, advance_topics
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.scripts.topics.bring import Brought, bring, users_of
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import (
    SUBSCRIPTIONS_MAX,
    PreferencesSet,
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
    """Subscriptions while they are planned: *before* is as they were, *active* as they will be."""

    before: dict[Pair, bool]
    active: dict[Pair, bool]
    counts: dict[str, int]
    """User → the number of topics that the user is in."""
    closed: set[str]
    """The topics that users cannot enter by themselves."""

    def has_room(self, user: str) -> bool:
        return self.counts.get(user, 0) < SUBSCRIPTIONS_MAX

    def move(self, pair: Pair, *, joined: bool) -> None:
        self.active[pair] = joined
        self.counts[pair[0]] = self.counts.get(pair[0], 0) + (1 if joined else -1)


def change_subscriptions(
    commands: Sequence[tuple[int, Any]],
    results: list[Result],
    brought: Brought,
    limits: ScriptLimits,
) -> Script[None]:
    """Run *commands*, whose users are locked and were *brought* up to date, perhaps in part."""
    if not commands:
        return
    of_users = [command for _, command in commands if not isinstance(command, SetTopic)]
    now_ms = max((command.now_ms for command in of_users), default=0)
    concerned = {user for command in of_users for user in users_of(command)}
    yield from _catch_up(concerned & brought.behind, brought, now_ms, limits)
    moves = [(index, each) for index, each in commands if not isinstance(each, SetPreferences)]
    if moves:
        yield from _move(moves, results, brought, now_ms, limits)
    settings = [(index, each) for index, each in commands if isinstance(each, SetPreferences)]
    if settings:
        yield from _set_preferences(settings, results)


def subscribed_topics(
    users: Iterable[str], *, left_too: bool = False
) -> Script[dict[str, tuple[str, ...]]]:
    """The topics of each of *users*, sorted by name, without the topic of everyone.

    With *left_too* also topics that they have left: entries of these may still change notifications
    that the users have.
    """
    asked = sorted(set(users))
    topics: dict[str, tuple[str, ...]] = {}
    rows = yield from run("subscriptions_read", user_id=asked, left_too=[left_too] * len(asked))
    for row in rows:
        topics[row.user_id] = (*topics.get(row.user_id, ()), row.topic)
    return topics


def _move(
    moves: Sequence[tuple[int, _Command]],
    results: list[Result],
    brought: Brought,
    now_ms: int,
    limits: ScriptLimits,
) -> Script[None]:
    subscriptions = yield from _read([command for _, command in moves])
    planned = [_plan(command, subscriptions) for _, command in moves]
    yield from _save(subscriptions, brought, now_ms, limits)
    yield from _set_topics(
        [(index, each) for index, each in moves if isinstance(each, SetTopic)], results
    )
    for (index, command), plan in zip(moves, planned, strict=True):
        if plan is None:
            results[index] = TopicClosed(command.topic)
        elif not isinstance(command, SetTopic):
            changed, refused = plan
            # Read here and not before saving, which may have brought further entries.
            heads = {user: brought.heads[user] for user in command.users if user in brought.heads}
            joined = isinstance(command, Subscribe)
            members = tuple(each for each in command.users if joined and each not in refused)
            results[index] = Subscribed(command.topic, joined, changed, refused, heads, members)


def _catch_up(
    users: Collection[str], brought: Brought, now_ms: int, limits: ScriptLimits
) -> Script[None]:
    """Bring *users* up to date completely, however much it is: the change would lose the rest."""
    behind = set(users)
    while behind:
        more, _ = yield from bring(sorted(behind), now_ms, limits)
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
        # All topics of the batch, so that every transaction locks topics in one order.
        rows = yield from run(
            "topics_closed", topic=sorted({command.topic for command in commands})
        )
        closed = {row.topic for row in rows if row.closed}
    return _Subscriptions(before, dict(before), counts, closed)


def _plan(
    command: _Command, subscriptions: _Subscriptions
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Plan *command*: the users who join or leave by it, and those refused for lack of room; `None`
    if the topic is closed to users who want to join it themselves.
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


def _save(
    subscriptions: _Subscriptions, brought: Brought, now_ms: int, limits: ScriptLimits
) -> Script[None]:
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
    # The topics are locked now and get no entries. Entries that came after these users were brought
    # up to date may change notifications that the users have from an earlier subscription.
    returning = {
        user for (user, topic), active in changed.items() if active and (user, topic) in before
    }
    yield from _catch_up(returning, brought, now_ms, limits)
    # A topic without entries is forgotten when it is left: no user has a notification of it, and
    # otherwise a user could fill the tables by joining and leaving ever new topics.
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
    yield from save_channel_preferences({user: each.channels for user, each in last.items()})
    rows = yield from run("users_lock", user_id=sorted(last))
    heads = {row.user_id: row.head for row in rows}
    for index, command in commands:
        results[index] = PreferencesSet(command.user, heads[command.user])
