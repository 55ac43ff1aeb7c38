"""The script of a read: many queries, few statements.

Queries of a kind become one statement, and no query needs two. A statement sees one moment, so all
that is in an answer is of that moment, without a transaction around it and its two round trips.
What an answer says of a log as a whole comes with each of its rows; and alone, where it has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tocsin.persistence.scripts import lists as list_scripts
from tocsin.persistence.scripts.lists import Answers, Numbered, by_first
from tocsin.persistence.scripts.logs.locking import content_of_row
from tocsin.persistence.scripts.statements import Row, Rows, Script, run
from tocsin.persistence.store import (
    Answer,
    Counters,
    Deliveries,
    Delivery,
    Entry,
    FindHead,
    FindInboxItem,
    FindKey,
    FindLetter,
    FindNotification,
    FindTopic,
    Head,
    Inbox,
    InboxItem,
    InboxPage,
    ListDevices,
    ListKeys,
    ListLetters,
    ListSubscribers,
    ListSubscriptions,
    NotFound,
    Page,
    ProducerView,
    Query,
    ReadDeliveries,
    ReadPage,
    ReadPreferences,
)
from tocsin.protocol.notification import Standing, State

_NO_LOG = Head(0, Counters(0, 0), behind=True)
"""Of a user whom nobody has seen: behind, so that to look is to be seen."""
_NO_BOUND = 2**63 - 1


def read(queries: Sequence[Query]) -> Script[list[Answer]]:
    """Answer *queries* in order."""
    kinds: dict[type[Any], list[tuple[int, Any]]] = defaultdict(list)
    for index, query in enumerate(queries):
        kinds[type(query)].append((index, query))
    answers: Answers = {}
    for kind, asked in kinds.items():
        yield from _SCRIPTS[kind](asked, answers)
    return [answers[index] for index in range(len(queries))]


# --- Logs ---------------------------------------------------------------------------------------


def _heads(queries: Numbered[FindHead], answers: Answers) -> Script[None]:
    rows = yield from run("users_read", sorted({query.user for _, query in queries}))
    found = {row[0]: _head(row[1:5]) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.user, _NO_LOG)


def _head(row: Row) -> Head:
    head, unread, unseen, behind = row
    return Head(head, Counters(unread, unseen), bool(behind))


def _pages(queries: Numbered[ReadPage], answers: Answers) -> Script[None]:
    rows = yield from run(
        "pages",
        [index for index, _ in queries],
        [query.user for _, query in queries],
        [query.device for _, query in queries],
        [query.start for _, query in queries],
        [query.after for _, query in queries],
        [query.limit for _, query in queries],
        [query.bytes_max for _, query in queries],
        [query.began for _, query in queries],
        [query.resumed for _, query in queries],
        [query.counted for _, query in queries],
    )
    found = by_first(rows)
    for index, _ in queries:
        answers[index] = _page(found[index])


def _page(rows: Rows) -> Page:
    _, head, horizon, unread, unseen, sequence, *_ = rows[0]
    entries = () if sequence is None else tuple([Entry(*row[5:14]) for row in rows])
    # The last column counts what there was to choose from, up to one more than the limit.
    complete = not entries or rows[0][14] == len(entries)
    through = head if complete else entries[-1].sequence
    return Page(entries, through, head, horizon, Counters(unread, unseen))


# --- The inbox ----------------------------------------------------------------------------------


def _inboxes(queries: Numbered[InboxPage], answers: Answers) -> Script[None]:
    by_list: dict[str, list[tuple[int, InboxPage]]] = defaultdict(list)
    for index, query in queries:
        by_list[_list_of(query.states)].append((index, query))
    rows: list[Row] = []
    rows += yield from run("inbox_page", *_inbox_columns(by_list["all"]))
    rows += yield from run("inbox_page_unread", *_inbox_columns(by_list["unread"]))
    rows += yield from run("inbox_page_archived", *_inbox_columns(by_list["archived"]))
    found = by_first(rows)
    for index, _ in queries:
        answers[index] = _inbox(found[index])


def _inbox(rows: Rows) -> Inbox:
    log = _head(rows[0][1:5])
    listed = [row for row in rows if row[5] is not None]
    # What does not fit has no document with it, and says that there is more.
    items = tuple([InboxItem(*row[5:]) for row in listed if row[6] is not None])
    return Inbox(items, len(items) < len(listed), log.head, log.counters, log.behind)


def _list_of(states: Sequence[str]) -> str:
    """The list that has all *states* and little else."""
    if {State.UNSEEN, State.SEEN}.issuperset(states):
        return "unread"
    return "archived" if set(states) == {State.ARCHIVED} else "all"


def _inbox_columns(queries: Numbered[InboxPage]) -> tuple[list[Any], ...]:
    return (
        [index for index, _ in queries],
        [query.user for _, query in queries],
        [f",{','.join(query.states)}," for _, query in queries],
        [query.category for _, query in queries],
        [query.limit for _, query in queries],
        [_NO_BOUND if query.before is None else query.before for _, query in queries],
        [query.now_ms for _, query in queries],
        [query.bytes_max for _, query in queries],
    )


def _inbox_items(queries: Numbered[FindInboxItem], answers: Answers) -> Script[None]:
    rows = yield from run(
        "inbox_item",
        [index for index, _ in queries],
        [query.user for _, query in queries],
        [query.notification for _, query in queries],
        [query.now_ms for _, query in queries],
    )
    found = {row[0]: InboxItem(*row[1:6]) for row in rows}
    for index, _ in queries:
        answers[index] = found.get(index, NotFound())


# --- The producer's side ------------------------------------------------------------------------


def _producer_views(queries: Numbered[FindNotification], answers: Answers) -> Script[None]:
    asked = sorted({query.notification for _, query in queries})
    rows = yield from run("notifications_read", asked)
    found = {row[0]: _producer_view(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.notification, NotFound())


def _producer_view(row: Row) -> ProducerView:
    recipients, inboxes, delivered, seen, read_, dead, expired = row[11:18]
    return ProducerView(
        content=content_of_row(row),
        standing=row[7],
        recipients=inboxes if recipients is None else recipients,
        delivered=delivered,
        seen=seen,
        read=read_,
        expired=expired,
        dead=dead,
    )


def _ledgers(queries: Numbered[ReadDeliveries], answers: Answers) -> Script[None]:
    # Identifiers are not empty, so everything is behind the pair of empty ones.
    after = [query.after or ("", "") for _, query in queries]
    rows = yield from run(
        "deliveries_page",
        [index for index, _ in queries],
        [query.notification for _, query in queries],
        [user for user, _ in after],
        [device for _, device in after],
        [query.limit + 1 for _, query in queries],
    )
    found = by_first(rows)
    for index, query in queries:
        if index not in found:
            answers[index] = NotFound()
            continue
        lines = [_delivery(row) for row in found[index] if row[2] is not None]
        answers[index] = Deliveries(tuple(lines[: query.limit]), len(lines) > query.limit)


def _delivery(row: Row) -> Delivery:
    _, standing, user, device, attempts, first_sent_at, acknowledged_at, reason, acknowledged = row
    if acknowledged:
        outcome = "acknowledged"
    elif reason is not None:
        outcome = "dead"
    elif standing != Standing.ACTIVE:
        outcome = standing
    else:
        outcome = "pending"
    return Delivery(user, device, attempts, first_sent_at, acknowledged_at, outcome, reason)


_SCRIPTS: dict[type[Any], Any] = {
    ReadPage: _pages,
    InboxPage: _inboxes,
    FindHead: _heads,
    FindInboxItem: _inbox_items,
    FindNotification: _producer_views,
    ReadDeliveries: _ledgers,
    ListDevices: list_scripts.devices,
    ListSubscriptions: list_scripts.subscriptions,
    ListSubscribers: list_scripts.subscribers,
    FindTopic: list_scripts.topic,
    ReadPreferences: list_scripts.preferences,
    ListLetters: list_scripts.letters,
    FindLetter: list_scripts.letter,
    FindKey: list_scripts.key,
    ListKeys: list_scripts.keys,
}
