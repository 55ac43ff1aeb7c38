"""The heads of topics: gives out positions of their logs, and counts their subscribers.

A topic's row is locked from here to the end of the transaction, so this is the last step of changes
of logs. One statement reserves all positions of a batch, which are then given out in the order of
the commands. So a user who becomes known through one command gets the entries for everyone of later
commands, and none of earlier ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from tocsin.persistence.scripts.logs.plan import Outcome
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.protocol.notifications.notification import EVERYONE, Change

_TOPICS_ADVANCE: Final = pick("taken", "joined", "at")
_TOPIC_LOG_INSERT: Final = pick("topic", "change", notification_id="notification")

Heads = dict[str, Row]
"""Topic → a row with *head*, *subscribers*, and *changed_at*, its last change (Unix ms)."""


class Move(NamedTuple):
    """The change of a topic *at* a time (Unix ms): new entries (*taken*), and subscribers."""

    taken: int = 0
    joined: int = 0
    at: int = 0


def advance_topics(moves: Mapping[str, Move]) -> Script[Heads]:
    """Lock and advance topics by their *moves*; their heads afterwards."""
    rows = yield from run(
        "topics_advance",
        **_TOPICS_ADVANCE([moves[topic] for topic in sorted(moves)]),
        topic=sorted(moves),
    )
    return {row.topic: row for row in rows}


def join_everyone(users: Sequence[str]) -> Script[None]:
    """Put *users*, who have just become known, into the topic of everyone, at its head."""
    if users:
        heads = yield from advance_topics({EVERYONE: Move(joined=len(users))})
        yield from _save_subscriptions(dict.fromkeys(users, heads[EVERYONE].head))


def become_known(newcomers: Collection[str]) -> Script[None]:
    """Put those of *newcomers*, whose logs had no entry before, who were not known into the topic
    of everyone, where the transaction does nothing else to topics.
    """
    rows = yield from run("users_outside", user_id=sorted(newcomers))
    yield from join_everyone([row.user_id for row in rows])


def append_to_topics(outcomes: Sequence[Outcome], newcomers: Collection[str]) -> Script[None]:
    """Append the entries of *outcomes* to topics, and count the subscribers that they address.

    *newcomers* are users whose logs had no entry before. Those of them who were not known become
    known here, and join the topic of everyone.
    """
    rows = yield from run("users_outside", user_id=sorted(newcomers))
    outside = {row.user_id for row in rows}
    if not outside and not any(each.entry or each.addresses for each in outcomes):
        return
    moves = _moves(outcomes, len(outside))
    heads = yield from advance_topics(moves)
    places = {
        topic: [row.head - moves[topic].taken, row.subscribers - moves[topic].joined]
        for topic, row in heads.items()
    }
    positions: dict[str, int] = {}
    for outcome in outcomes:
        for user in _named_first(outcome, outside):
            positions[user] = places[EVERYONE][0]
            places[EVERYONE][1] += 1
        if (topic := outcome.content.topic) is not None:
            if outcome.entry is not None:
                places[topic][0] += 1
            if outcome.addresses:
                outcome.held.addressed = places[topic][1]
                outcome.held.saved = False
            outcome.recipients = outcome.held.addressed
    yield from _insert(outcomes, heads, moves)
    yield from _save_subscriptions(positions)


def _moves(outcomes: Iterable[Outcome], joined: int) -> dict[str, Move]:
    taken: dict[str, int] = defaultdict(int)
    times: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        if outcome.addresses and outcome.content.topic is not None:
            taken[outcome.content.topic] += 0
        if (entry := outcome.entry) is not None:
            taken[entry.topic] += 1
            times[entry.topic] = max(times[entry.topic], entry.at)
    if joined:
        taken[EVERYONE] += 0
    return {
        topic: Move(count, joined if topic == EVERYONE else 0, times[topic])
        for topic, count in taken.items()
    }


def _named_first(outcome: Outcome, outside: set[str]) -> list[str]:
    """The users that *outcome* makes known; they are removed from *outside*."""
    created = (step.users for step in outcome.steps if step.change is Change.CREATED)
    found = [user for user in chain.from_iterable(created) if user in outside]
    outside.difference_update(found)
    return found


def _insert(outcomes: Iterable[Outcome], heads: Heads, moves: Mapping[str, Move]) -> Script[None]:
    reached = {topic: heads[topic].head - moves[topic].taken for topic in heads}
    entries = [outcome.entry for outcome in outcomes if outcome.entry is not None]
    positions = []
    for entry in entries:
        reached[entry.topic] += 1
        positions.append(reached[entry.topic])
    yield from run(
        "topic_log_insert",
        **_TOPIC_LOG_INSERT(entries),
        position=positions,
        # Not the entry's own time: times must not descend within the log of a topic.
        at=[heads[entry.topic].changed_at for entry in entries],
    )


def _save_subscriptions(positions: dict[str, int]) -> Script[None]:
    yield from run(
        "subscriptions_save",
        user_id=list(positions),
        topic=[EVERYONE] * len(positions),
        position=list(positions.values()),
        active=[True] * len(positions),
    )
