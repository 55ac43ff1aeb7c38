"""Scripts of short questions and lists: devices, topics, preferences, dead letters, keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tocsin.persistence.scripts.rows import NO_BOUND, key_of_row, letter_of_row
from tocsin.persistence.scripts.settle_letters import LETTER_STATUSES
from tocsin.persistence.scripts.statements import Row, Rows, Script, run
from tocsin.persistence.scripts.topics.subscriptions import subscribed_topics
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.ingest_commands import ListIngest
from tocsin.persistence.store.letter_commands import ListReceiptLetters, ListSendLetters
from tocsin.persistence.store.queries import (
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
    Preferences,
    ReadPreferences,
    SubscribedTopics,
    Subscribers,
    TopicInfo,
)
from tocsin.protocol.channels.preferences import NO_PREFERENCES, decode_preferences

Q = TypeVar("Q")
L = TypeVar("L", ListLetters, ListIngest, ListSendLetters, ListReceiptLetters)
Numbered = Sequence[tuple[int, Q]]
"""Queries of one kind, each with its place in the batch, where its answer goes."""
Answers = dict[int, Any]


def by_number(rows: Rows) -> dict[int, list[Row]]:
    """Rows by the *number* of their question, in their order."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.number].append(row)
    return found


# --- Of users -----------------------------------------------------------------------------------


def devices(queries: Numbered[ListDevices], answers: Answers) -> Script[None]:
    rows = yield from run(
        "devices_list",
        number=[index for index, _ in queries],
        user_id=[query.user for _, query in queries],
        # Identifiers are not empty, so all are behind the empty one.
        after=[query.after or "" for _, query in queries],
        devices_max=[query.limit + 1 for _, query in queries],
        named=[query.named for _, query in queries],
    )
    found = by_number(rows)
    for index, query in queries:
        listed = [
            DeviceInfo(row.device_id, row.acknowledged, row.last_seen)
            for row in found.get(index, ())
        ]
        answers[index] = Devices(tuple(listed[: query.limit]), len(listed) > query.limit)


def subscriptions(queries: Numbered[ListSubscriptions], answers: Answers) -> Script[None]:
    for left_too in (False, True):
        asked = [(index, query.user) for index, query in queries if query.left_too == left_too]
        if not asked:
            continue
        topics = yield from subscribed_topics((user for _, user in asked), left_too=left_too)
        for index, user in asked:
            answers[index] = SubscribedTopics(topics.get(user, ()))


def preferences(queries: Numbered[ReadPreferences], answers: Answers) -> Script[None]:
    users = sorted({query.user for _, query in queries})
    enabled: dict[str, dict[str, dict[str, bool]]] = {
        user: {"category": {}, "topic": {}} for user in users
    }
    channels = {}
    for row in (yield from run("preferences_read", user_id=users)):
        if row.kind is not None:
            enabled[row.user_id][row.kind][row.name] = bool(row.enabled)
        if row.channels is not None:
            channels[row.user_id] = decode_preferences(row.channels)
    for index, query in queries:
        of_user = enabled[query.user]
        by_channel = channels.get(query.user, NO_PREFERENCES)
        answers[index] = Preferences(of_user["category"], of_user["topic"], by_channel)


def subscribers(queries: Numbered[ListSubscribers], answers: Answers) -> Script[None]:
    rows = yield from run(
        "subscribers_page",
        number=[index for index, _ in queries],
        topic=[query.topic for _, query in queries],
        # Identifiers are not empty, so all are behind the empty one.
        after=[query.after or "" for _, query in queries],
        users_max=[query.limit + 1 for _, query in queries],
    )
    found = by_number(rows)
    for index, query in queries:
        users = [row.user_id for row in found.get(index, ())]
        answers[index] = Subscribers(tuple(users[: query.limit]), len(users) > query.limit)


def topic(queries: Numbered[FindTopic], answers: Answers) -> Script[None]:
    rows = yield from run("topics_read", topic=sorted({query.topic for _, query in queries}))
    found = {row.topic: TopicInfo(row.topic, bool(row.closed), row.subscribers) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.topic, TopicInfo(query.topic, False, 0))


# --- Dead letters -------------------------------------------------------------------------------


def of_each_status(queries: Numbered[L]) -> list[tuple[int, str, L]]:
    """*queries* for letters, with a status each.

    A list of all letters is a list of each status: the index begins with it, and there are three.
    """
    return [
        (index, status, query)
        for index, query in queries
        for status in (LETTER_STATUSES if query.status is None else (query.status,))
    ]


def letter_pages(queries: Numbered[L], rows: Rows) -> Iterator[tuple[int, list[Row], bool]]:
    """Of each of *queries*: its place, its page of *rows*, the newest first, and whether there are
    more.
    """
    found = by_number(rows)
    for index, query in queries:
        listed = sorted(found.get(index, ()), key=lambda row: -row.id)
        yield index, listed[: query.limit], len(listed) > query.limit


def letters(queries: Numbered[ListLetters], answers: Answers) -> Script[None]:
    asked = of_each_status(queries)
    rows = yield from run(
        "letters_page",
        number=[index for index, _, _ in asked],
        status=[status for _, status, _ in asked],
        before=[NO_BOUND if query.before is None else query.before for _, _, query in asked],
        user_id=[query.user for _, _, query in asked],
        notification_id=[query.notification for _, _, query in asked],
        letters_max=[query.limit + 1 for _, _, query in asked],
    )
    for index, page, has_more in letter_pages(queries, rows):
        answers[index] = Letters(tuple([letter_of_row(row) for row in page]), has_more)


def letter(queries: Numbered[FindLetter], answers: Answers) -> Script[None]:
    rows = yield from run("letters_read", id=sorted({query.id for _, query in queries}))
    found = {row.id: FoundLetter(letter_of_row(row), row.document) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


# --- Keys ---------------------------------------------------------------------------------------


def key(queries: Numbered[FindKey], answers: Answers) -> Script[None]:
    rows = yield from run("keys_read", id=sorted({query.id for _, query in queries}))
    found = {row.id: key_of_row(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def keys(queries: Numbered[ListKeys], answers: Answers) -> Script[None]:
    rows = yield from run("keys_list")
    listed = Keys(tuple([key_of_row(row) for row in rows]))
    for index, _ in queries:
        answers[index] = listed
