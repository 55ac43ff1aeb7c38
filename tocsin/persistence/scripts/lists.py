"""Scripts of short questions and lists: devices, topics, preferences, dead letters, keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from tocsin.persistence.scripts.devices import subscribed_topics
from tocsin.persistence.scripts.keys import key_of_row
from tocsin.persistence.scripts.settle_letters import LETTER_STATUSES, letter_of_row
from tocsin.persistence.scripts.statements import Row, Rows, Script, run
from tocsin.persistence.store import (
    Answer,
    DeviceInfo,
    Devices,
    FindKey,
    FindLetter,
    FindTopic,
    FoundLetter,
    Keys,
    Letters,
    ListDevices,
    ListKeys,
    ListLetters,
    ListSubscribers,
    ListSubscriptions,
    NotFound,
    Preferences,
    ReadPreferences,
    Subscribers,
    TopicInfo,
    Topics,
)

Q = TypeVar("Q")
Numbered = Sequence[tuple[int, Q]]
"""Queries of one kind, each with its place in the batch, where its answer goes."""
Answers = dict[int, Answer]

_NO_BOUND = 2**63 - 1


def by_first(rows: Rows) -> dict[int | str, list[Row]]:
    """Rows by what is in their first column, in their order."""
    found: dict[int | str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


# --- Of users -----------------------------------------------------------------------------------


def devices(queries: Numbered[ListDevices], answers: Answers) -> Script[None]:
    rows = yield from run(
        "devices_list",
        [index for index, _ in queries],
        [query.user for _, query in queries],
        # Identifiers are not empty, so all are behind the empty one.
        [query.after or "" for _, query in queries],
        [query.limit + 1 for _, query in queries],
        [query.named for _, query in queries],
    )
    found = by_first(rows)
    for index, query in queries:
        listed = [DeviceInfo(*row[1:4]) for row in found.get(index, ())]
        answers[index] = Devices(tuple(listed[: query.limit]), len(listed) > query.limit)


def subscriptions(queries: Numbered[ListSubscriptions], answers: Answers) -> Script[None]:
    topics = yield from subscribed_topics(query.user for _, query in queries)
    for index, query in queries:
        answers[index] = Topics(topics.get(query.user, ()))


def preferences(queries: Numbered[ReadPreferences], answers: Answers) -> Script[None]:
    rows = yield from run("preferences_read", sorted({query.user for _, query in queries}))
    found = by_first(rows)
    for index, query in queries:
        enabled: dict[str, dict[str, bool]] = {"category": {}, "topic": {}}
        for _, kind, name, is_enabled in found.get(query.user, ()):
            enabled[kind][name] = bool(is_enabled)
        answers[index] = Preferences(enabled["category"], enabled["topic"])


def subscribers(queries: Numbered[ListSubscribers], answers: Answers) -> Script[None]:
    rows = yield from run(
        "subscribers_page",
        [index for index, _ in queries],
        [query.topic for _, query in queries],
        # Identifiers are not empty, so everybody is behind the empty one.
        [query.after or "" for _, query in queries],
        [query.limit + 1 for _, query in queries],
    )
    found = by_first(rows)
    for index, query in queries:
        users = [row[1] for row in found.get(index, ())]
        answers[index] = Subscribers(tuple(users[: query.limit]), len(users) > query.limit)


def topic(queries: Numbered[FindTopic], answers: Answers) -> Script[None]:
    rows = yield from run("topics_read", sorted({query.topic for _, query in queries}))
    found = {row[0]: TopicInfo(row[0], bool(row[1]), row[2]) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.topic, TopicInfo(query.topic, False, 0))


# --- Dead letters -------------------------------------------------------------------------------


def letters(queries: Numbered[ListLetters], answers: Answers) -> Script[None]:
    # A list of all letters is one of each status: there is an index for that, and few statuses.
    asked = [
        (index, status, query)
        for index, query in queries
        for status in (LETTER_STATUSES if query.status is None else (query.status,))
    ]
    rows = yield from run(
        "letters_page",
        [index for index, _, _ in asked],
        [status for _, status, _ in asked],
        [_NO_BOUND if query.before is None else query.before for _, _, query in asked],
        [query.user for _, _, query in asked],
        [query.notification for _, _, query in asked],
        [query.limit + 1 for _, _, query in asked],
    )
    found = by_first(rows)
    for index, query in queries:
        listed = sorted(found.get(index, ()), key=lambda row: -row[1])
        page = tuple([letter_of_row(row[1:]) for row in listed[: query.limit]])
        answers[index] = Letters(page, len(listed) > query.limit)


def letter(queries: Numbered[FindLetter], answers: Answers) -> Script[None]:
    rows = yield from run("letters_read", sorted({query.id for _, query in queries}))
    found = {row[0]: FoundLetter(letter_of_row(row), row[11]) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


# --- Keys ---------------------------------------------------------------------------------------


def key(queries: Numbered[FindKey], answers: Answers) -> Script[None]:
    rows = yield from run("keys_read", sorted({query.id for _, query in queries}))
    found = {row[0]: key_of_row(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def keys(queries: Numbered[ListKeys], answers: Answers) -> Script[None]:
    rows = yield from run("keys_list")
    listed = Keys(tuple([key_of_row(row) for row in rows]))
    for index, _ in queries:
        answers[index] = listed
