"""The heads of topics: giving out positions of their logs, and counting who is in them.

A topic's row is locked from here to the end of the transaction, so this comes last of all that
concerns logs. Positions and counts follow the order of the commands although they are given out in
one sum: who is first named by a publish to users gets what a later command of the batch says to
everyone, and not what an earlier one did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from tocsin.persistence.scripts.logs.plan import Outcome
from tocsin.persistence.scripts.statements import Script, run
from tocsin.protocol.notification import EVERYONE, Change

Heads = dict[str, tuple[int, int, int]]
"""Of each topic: head, subscribers, and when it changed last (Unix ms)."""


def advance_topics(moves: dict[str, tuple[int, int, int]]) -> Script[Heads]:
    """Move topics by so many entries and subscribers, at a time; where that leads."""
    topics = sorted(moves)
    rows = yield from run(
        "topics_advance", topics, *zip(*[moves[topic] for topic in topics], strict=True)
    )
    return {topic: (head, subscribers, at) for topic, head, subscribers, at in rows}


def join_everyone(users: Sequence[str]) -> Script[None]:
    """Put *users*, who were not known until now, into the topic of everyone, at its head."""
    if users:
        heads = yield from advance_topics({EVERYONE: (0, len(users), 0)})
        yield from _save_subscriptions(dict.fromkeys(users, heads[EVERYONE][0]))


def append_to_topics(outcomes: Sequence[Outcome], newcomers: Collection[str]) -> Script[None]:
    """Write what *outcomes* say to topics, and count whom they address.

    Those of *newcomers*, whose logs had no entry before, that nobody knew are known from now on.
    """
    rows = yield from run("users_outside", sorted(newcomers))
    outside = {row[0] for row in rows}
    if not outside and not any(each.entry or each.addresses for each in outcomes):
        return
    moves = _moves(outcomes, len(outside))
    heads = yield from advance_topics(moves)
    places = {
        topic: [head - moves[topic][0], subscribers - moves[topic][1]]
        for topic, (head, subscribers, _) in heads.items()
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


def _moves(outcomes: Iterable[Outcome], joined: int) -> dict[str, tuple[int, int, int]]:
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
        topic: (count, joined if topic == EVERYONE else 0, times[topic])
        for topic, count in taken.items()
    }


def _named_first(outcome: Outcome, outside: set[str]) -> list[str]:
    """The users that *outcome* makes known; they are *outside* no more."""
    created = (step.users for step in outcome.steps if step.change is Change.CREATED)
    found = [user for user in chain.from_iterable(created) if user in outside]
    outside.difference_update(found)
    return found


def _insert(
    outcomes: Iterable[Outcome], heads: Heads, moves: dict[str, tuple[int, int, int]]
) -> Script[None]:
    positions = {topic: heads[topic][0] - moves[topic][0] for topic in heads}
    rows = []
    for outcome in outcomes:
        if (entry := outcome.entry) is not None:
            positions[entry.topic] += 1
            at = heads[entry.topic][2]
            place = positions[entry.topic]
            rows.append((entry.topic, place, entry.notification, entry.change, at))
    yield from run(
        "topic_log_insert",
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        [row[4] for row in rows],
    )


def _save_subscriptions(positions: dict[str, int]) -> Script[None]:
    yield from run(
        "subscriptions_save",
        list(positions),
        [EVERYONE] * len(positions),
        list(positions.values()),
        [True] * len(positions),
    )
