"""The script of a read: many queries, few statements.

Queries of a kind become one statement. Heads and counters are read before the rows they belong
to: where no transaction holds both at one moment, the rows may be newer, and a page that reaches
further than its head is true, while a head that promises rows the page lacks would be a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tocsin.persistence.key_scripts import key_of_row
from tocsin.persistence.log_scripts import content_of_row
from tocsin.persistence.statements import Row, Rows, Script, run
from tocsin.persistence.store import (
    Answer,
    Counters,
    Deliveries,
    Delivery,
    Entry,
    FindInboxItem,
    FindKey,
    FindNotification,
    Inbox,
    InboxItem,
    InboxPage,
    Keys,
    ListKeys,
    NotFound,
    Page,
    ProducerView,
    Query,
    ReadDeliveries,
    ReadPage,
)
from tocsin.protocol.notification import Standing

Q = TypeVar("Q")
Numbered = Sequence[tuple[int, Q]]
"""Queries of one kind, each with its place in the batch, where its answer goes."""
Answers = dict[int, Answer]

_NO_LOG = (0, 0, 0, 0)


def read(queries: Sequence[Query]) -> Script[list[Answer]]:
    """Answer *queries* in order."""
    kinds: dict[type[Any], list[tuple[int, Any]]] = defaultdict(list)
    for index, query in enumerate(queries):
        kinds[type(query)].append((index, query))
    answers: Answers = {}
    users = {query.user for kind in (ReadPage, InboxPage) for _, query in kinds[kind]}
    heads = yield from _heads(sorted(users))
    for kind, script in ((ReadPage, _pages), (InboxPage, _inboxes)):
        if kinds[kind]:
            yield from script(kinds[kind], heads, answers)
    for kind, plain in _PLAIN.items():
        if kinds[kind]:
            yield from plain(kinds[kind], answers)
    return [answers[index] for index in range(len(queries))]


def _heads(users: Sequence[str]) -> Script[dict[str, Row]]:
    """Head, horizon, unread and unseen of each user that has a log."""
    rows = yield from run("users_read", users)
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def _by_number(rows: Rows) -> dict[int, list[Row]]:
    """Rows by the number of their question, in their order."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


# --- Pages --------------------------------------------------------------------------------------


def _pages(queries: Numbered[ReadPage], heads: dict[str, Row], answers: Answers) -> Script[None]:
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
    )
    found = _by_number(rows)
    for index, query in queries:
        answers[index] = _page(found.get(index, ()), heads.get(query.user, _NO_LOG))


def _page(rows: Rows, state: Row) -> Page:
    head, horizon, unread, unseen = state
    entries = tuple([Entry(*row[1:10]) for row in rows])
    last = entries[-1].sequence if entries else 0
    # The last column counts what there was to choose from, up to one more than the limit.
    complete = not rows or rows[0][10] == len(rows)
    head = max(head, last)
    return Page(entries, head if complete else last, head, horizon, Counters(unread, unseen))


# --- The inbox ----------------------------------------------------------------------------------


def _inboxes(queries: Numbered[InboxPage], heads: dict[str, Row], answers: Answers) -> Script[None]:
    rows = yield from run(
        "inbox_page",
        [index for index, _ in queries],
        [query.user for _, query in queries],
        [f",{','.join(query.states)}," for _, query in queries],
        [query.category for _, query in queries],
        [query.limit + 1 for _, query in queries],
        [query.before for _, query in queries],
    )
    found = _by_number(rows)
    for index, query in queries:
        items = [InboxItem(*row[1:6]) for row in found.get(index, ())]
        more = len(items) > query.limit
        head, _, unread, unseen = heads.get(query.user, _NO_LOG)
        answers[index] = Inbox(tuple(items[: query.limit]), more, head, Counters(unread, unseen))


def _inbox_items(queries: Numbered[FindInboxItem], answers: Answers) -> Script[None]:
    rows = yield from run(
        "inbox_item",
        [index for index, _ in queries],
        [query.user for _, query in queries],
        [query.notification for _, query in queries],
    )
    found = {row[0]: InboxItem(*row[1:6]) for row in rows}
    for index, _ in queries:
        answers[index] = found.get(index, NotFound())


# --- The producer's side ------------------------------------------------------------------------


def _notifications(ids: Iterable[str]) -> Script[dict[str, Row]]:
    rows = yield from run("notifications_read", sorted(set(ids)))
    return {row[0]: row for row in rows}


def _producer_views(queries: Numbered[FindNotification], answers: Answers) -> Script[None]:
    notifications = yield from _notifications(query.notification for _, query in queries)
    rows = yield from run("recipients_count", sorted(notifications))
    counts = {row[0]: row for row in rows}
    for index, query in queries:
        row = notifications.get(query.notification)
        if row is None:
            answers[index] = NotFound()
            continue
        _, recipients, delivered, seen, read_, dead, expired = counts[query.notification]
        answers[index] = ProducerView(
            content=content_of_row(row),
            standing=row[7],
            recipients=recipients,
            delivered=delivered,
            seen=seen,
            read=read_,
            expired=expired,
            dead=dead,
        )


def _ledgers(queries: Numbered[ReadDeliveries], answers: Answers) -> Script[None]:
    notifications = yield from _notifications(query.notification for _, query in queries)
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
    found = _by_number(rows)
    for index, query in queries:
        notification = notifications.get(query.notification)
        if notification is None:
            answers[index] = NotFound()
            continue
        lines = [_delivery(row, notification[7]) for row in found.get(index, ())]
        answers[index] = Deliveries(tuple(lines[: query.limit]), len(lines) > query.limit)


def _delivery(row: Row, standing: str) -> Delivery:
    _, user, device, attempts, first_sent_at, acknowledged_at, reason, acknowledged = row
    if acknowledged:
        outcome = "acknowledged"
    elif reason is not None:
        outcome = "dead"
    elif standing != Standing.ACTIVE:
        outcome = standing
    else:
        outcome = "pending"
    return Delivery(user, device, attempts, first_sent_at, acknowledged_at, outcome, reason)


# --- Keys ---------------------------------------------------------------------------------------


def _keys(queries: Numbered[FindKey], answers: Answers) -> Script[None]:
    rows = yield from run("keys_read", sorted({query.id for _, query in queries}))
    found = {row[0]: key_of_row(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def _key_lists(queries: Numbered[ListKeys], answers: Answers) -> Script[None]:
    rows = yield from run("keys_list")
    keys = Keys(tuple([key_of_row(row) for row in rows]))
    for index, _ in queries:
        answers[index] = keys


_PLAIN: dict[type[Any], Any] = {
    FindInboxItem: _inbox_items,
    FindNotification: _producer_views,
    ReadDeliveries: _ledgers,
    FindKey: _keys,
    ListKeys: _key_lists,
}
