"""The script of a read: many queries, few statements.

All queries of a kind become one statement, and no query needs two. A statement sees one moment, so
each answer is of one moment, without a transaction and its two round trips. The columns about a log
as a whole come with each row of the answer; an answer without rows has one row with them alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from tocsin.persistence.scripts import ingest as ingest_scripts
from tocsin.persistence.scripts import lists as list_scripts
from tocsin.persistence.scripts import outgoing_letters as letter_scripts
from tocsin.persistence.scripts import receipts as receipt_scripts
from tocsin.persistence.scripts import sinks as sink_scripts
from tocsin.persistence.scripts.addresses import addresses
from tocsin.persistence.scripts.footprints import footprint_pages
from tocsin.persistence.scripts.lists import Answers, Numbered, by_number
from tocsin.persistence.scripts.rows import NO_BOUND, content_of_row
from tocsin.persistence.scripts.sends import sends
from tocsin.persistence.scripts.statements import Row, Rows, Script, pick, run
from tocsin.persistence.store.asking import Query
from tocsin.persistence.store.commands import Counters, NotFound
from tocsin.persistence.store.footprints import ReadFootprints
from tocsin.persistence.store.ingest_commands import (
    FindIngest,
    ListIngest,
    ReadConnector,
)
from tocsin.persistence.store.letter_commands import (
    FindReceiptLetter,
    FindSendLetter,
    ListReceiptLetters,
    ListSendLetters,
)
from tocsin.persistence.store.queries import (
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
    ListAddresses,
    ListDevices,
    ListKeys,
    ListLetters,
    ListSends,
    ListSubscribers,
    ListSubscriptions,
    Page,
    ProducerView,
    ReadClock,
    ReadDeliveries,
    ReadPage,
    ReadPreferences,
)
from tocsin.persistence.store.receipt_queries import FindReceipts, ReadReceipts, ReceiptsSince
from tocsin.persistence.store.sink_commands import ListSinkLetters, ListSinks
from tocsin.protocol.notifications.notification import Standing, State

_PAGES: Final = pick(
    "start",
    "after",
    "bytes_max",
    "began",
    "resumed",
    "counted",
    user_id="user",
    device_id="device",
    entries_max="limit",
)
_INBOX_PAGE: Final = pick("category", "bytes_max", user_id="user", items_max="limit", now="now_ms")
_INBOX_ITEM: Final = pick(user_id="user", notification_id="notification", now="now_ms")

_NO_LOG = Head(0, Counters(0, 0), behind=True)
"""The head of an unknown user: behind, so that the caller brings the user up to date, which makes
the user known."""


def read(queries: Sequence[Query[Any]]) -> Script[list[Any]]:
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
    rows = yield from run("users_read", user_id=sorted({query.user for _, query in queries}))
    found = {row.user_id: _head(row, row.topics) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.user, _NO_LOG)


def _head(row: Row, topics: int = 0) -> Head:
    return Head(row.head, Counters(row.unread, row.unseen), bool(row.behind), topics)


def _pages(queries: Numbered[ReadPage], answers: Answers) -> Script[None]:
    rows = yield from run(
        "pages", **_PAGES([query for _, query in queries]), number=[index for index, _ in queries]
    )
    found = by_number(rows)
    for index, _ in queries:
        answers[index] = _page(found[index])


def _page(rows: Rows) -> Page:
    log = rows[0]
    entries = () if log.sequence is None else tuple([_entry(row) for row in rows])
    # The candidates are all entries behind the cursor, up to one more than the limit.
    complete = not entries or log.candidates == len(entries)
    through = log.head if complete else entries[-1].sequence
    return Page(entries, through, log.head, log.horizon, Counters(log.unread, log.unseen))


def _entry(row: Row) -> Entry:
    return Entry(
        row.sequence,
        row.notification_id,
        row.change,
        row.document,
        row.state,
        row.seen_at,
        row.read_at,
        row.attempts,
        row.expires_at,
    )


# --- The inbox ----------------------------------------------------------------------------------


def _inboxes(queries: Numbered[InboxPage], answers: Answers) -> Script[None]:
    by_list: dict[str, list[tuple[int, InboxPage]]] = defaultdict(list)
    for index, query in queries:
        by_list[_list_of(query.states)].append((index, query))
    rows: list[Row] = []
    rows += yield from _list("inbox_page", by_list["all"])
    rows += yield from _list("inbox_page_unread", by_list["unread"])
    rows += yield from _list("inbox_page_archived", by_list["archived"])
    found = by_number(rows)
    for index, _ in queries:
        answers[index] = _inbox(found[index])


def _inbox(rows: Rows) -> Inbox:
    log = _head(rows[0])
    listed = [row for row in rows if row.created_sequence is not None]
    # A row without a document is an item that did not fit: it says that there is more.
    items = tuple([_item(row) for row in listed if row.document is not None])
    return Inbox(items, len(items) < len(listed), log.head, log.counters, log.behind)


def _item(row: Row) -> InboxItem:
    return InboxItem(row.created_sequence, row.document, row.state, row.seen_at, row.read_at)


def _list_of(states: Sequence[str]) -> str:
    """The list (`all`, `unread`, `archived`) that has all *states* and as little else as can be."""
    if {State.UNSEEN, State.SEEN}.issuperset(states):
        return "unread"
    return "archived" if set(states) == {State.ARCHIVED} else "all"


def _list(name: str, queries: Numbered[InboxPage]) -> Script[Rows]:
    return (
        yield from run(
            name,
            number=[index for index, _ in queries],
            **_INBOX_PAGE([query for _, query in queries]),
            states=[f",{','.join(query.states)}," for _, query in queries],
            before=[NO_BOUND if query.before is None else query.before for _, query in queries],
        )
    )


def _inbox_items(queries: Numbered[FindInboxItem], answers: Answers) -> Script[None]:
    rows = yield from run(
        "inbox_item",
        **_INBOX_ITEM([query for _, query in queries]),
        number=[index for index, _ in queries],
    )
    found = {row.number: _item(row) for row in rows}
    for index, _ in queries:
        answers[index] = found.get(index, NotFound())


# --- The producer's side ------------------------------------------------------------------------


def _producer_views(queries: Numbered[FindNotification], answers: Answers) -> Script[None]:
    asked = sorted({query.notification for _, query in queries})
    rows = yield from run("notifications_read", id=asked)
    found = {row.id: _producer_view(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.notification, NotFound())


def _producer_view(row: Row) -> ProducerView:
    return ProducerView(
        content=content_of_row(row),
        standing=row.standing,
        recipients=row.inboxes if row.recipients is None else row.recipients,
        delivered=row.delivered,
        seen=row.seen,
        read=row.read,
        expired=row.expired,
        dead=row.dead,
        sent=row.sent,
    )


def _ledgers(queries: Numbered[ReadDeliveries], answers: Answers) -> Script[None]:
    # Identifiers are not empty, so everything is behind the pair of empty ones.
    after = [query.after or ("", "") for _, query in queries]
    rows = yield from run(
        "deliveries_page",
        number=[index for index, _ in queries],
        notification_id=[query.notification for _, query in queries],
        user_id=[user for user, _ in after],
        device_id=[device for _, device in after],
        lines_max=[query.limit + 1 for _, query in queries],
    )
    found = by_number(rows)
    for index, query in queries:
        if index not in found:
            answers[index] = NotFound()
            continue
        lines = [_delivery(row) for row in found[index] if row.user_id is not None]
        answers[index] = Deliveries(tuple(lines[: query.limit]), len(lines) > query.limit)


def _delivery(row: Row) -> Delivery:
    if row.acknowledged:
        outcome = "acknowledged"
    elif row.dead_reason is not None:
        outcome = "dead"
    elif row.standing != Standing.ACTIVE:
        outcome = row.standing
    else:
        outcome = "pending"
    return Delivery(
        user=row.user_id,
        device=row.device_id,
        attempts=row.attempts,
        first_sent_at=row.first_sent_at,
        acknowledged_at=row.acknowledged_at,
        outcome=outcome,
        reason=row.dead_reason,
    )


def _clock(queries: Numbered[ReadClock], answers: Answers) -> Script[None]:
    [row] = yield from run("clock_read")
    answers.update((index, row.now) for index, _ in queries)


_SCRIPTS: dict[type[Any], Any] = {
    ReadClock: _clock,
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
    ListIngest: ingest_scripts.ingest_letters,
    FindIngest: ingest_scripts.ingest_letter,
    ReadConnector: ingest_scripts.connector_orders,
    ListAddresses: addresses,
    ListSends: sends,
    ReadReceipts: receipt_scripts.receipt_pages,
    FindReceipts: receipt_scripts.receipts_named,
    ReceiptsSince: receipt_scripts.receipts_since,
    ListSendLetters: letter_scripts.send_letters,
    FindSendLetter: letter_scripts.send_letter,
    ListReceiptLetters: letter_scripts.receipt_letters,
    FindReceiptLetter: letter_scripts.receipt_letter,
    ListSinks: sink_scripts.sinks,
    ListSinkLetters: sink_scripts.sink_letters,
    ReadFootprints: footprint_pages,
}
