"""The script of a read: many queries, few statements.

Queries of a kind become one statement. Heads and counters are read before the rows they belong
to: where no transaction holds both at one moment, the rows may be newer, and a page that reaches
further than its head is true, while a head that promises rows the page lacks would be a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tocsin.persistence import list_scripts
from tocsin.persistence.holding import content_of_row
from tocsin.persistence.list_scripts import Answers, Numbered, by_first
from tocsin.persistence.statements import Row, Rows, Script, run
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

_NO_LOG = (0, 0, 0, True)
"""Of a user whom nobody has seen: behind, so that to look is to be seen."""
_NO_BOUND = 2**63 - 1
_LOOKING = (InboxPage, FindHead)
"""Questions that want to know whether there is more in the user's topics."""


def read(queries: Sequence[Query]) -> Script[list[Answer]]:
    """Answer *queries* in order."""
    kinds: dict[type[Any], list[tuple[int, Any]]] = defaultdict(list)
    for index, query in enumerate(queries):
        kinds[type(query)].append((index, query))
    answers: Answers = {}
    users = {query.user: False for _, query in kinds[ReadPage]}
    users |= {query.user: True for kind in _LOOKING for _, query in kinds[kind]}
    # Of several queries about one user, the clocks of all are one.
    times = {query.user: query.now_ms for _, query in kinds[InboxPage]}
    heads = yield from _heads(users, times)
    for kind, script in ((ReadPage, _pages), (InboxPage, _inboxes)):
        if kinds[kind]:
            yield from script(kinds[kind], heads, answers)
    for index, query in kinds[FindHead]:
        head, unread, unseen, behind = heads.get(query.user, _NO_LOG)
        answers[index] = Head(head, Counters(unread, unseen), bool(behind))
    for kind, plain in _PLAIN.items():
        if kinds[kind]:
            yield from plain(kinds[kind], answers)
    return [answers[index] for index in range(len(queries))]


def _heads(users: Mapping[str, bool], times: Mapping[str, int]) -> Script[dict[str, Row]]:
    """Head, unread and unseen of each user that has a log, without what is due at *times* (ms).

    And, where *users* says so, whether there is more in the user's topics.
    """
    asked = sorted(users)
    rows = yield from run(
        "users_read", asked, [users[user] for user in asked], [times.get(user, 0) for user in asked]
    )
    return {row[0]: tuple(row)[1:5] for row in rows}


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
        [query.counted for _, query in queries],
    )
    # Read last: what was purged while we were looking for it is not passed over in silence, and
    # what came meanwhile is counted, if it is in the page. But whole is a page up to the head that
    # was read first.
    times = {query.user: query.now_ms for _, query in queries}
    users = sorted(times)
    last = yield from run("users_read_last", users, [times[user] for user in users])
    ends = {row[0]: row[1:] for row in last}
    found = by_first(rows)
    for index, query in queries:
        head, *_ = heads.get(query.user, _NO_LOG)
        end = ends.get(query.user, (0, 0, 0, 0))
        answers[index] = _page(found.get(index, ()), head, end)


def _page(rows: Rows, head: int, end: Row) -> Page:
    entries = tuple([Entry(*row[1:10]) for row in rows])
    last = entries[-1].sequence if entries else 0
    # The last column counts what there was to choose from, up to one more than the limit.
    complete = not rows or rows[0][10] == len(rows)
    head = max(head, last)
    horizon, unread, unseen, counted = end
    through = head if complete else last
    return Page(entries, through, head, horizon, Counters(unread, unseen), counted)


# --- The inbox ----------------------------------------------------------------------------------


def _inboxes(queries: Numbered[InboxPage], heads: dict[str, Row], answers: Answers) -> Script[None]:
    by_list: dict[str, list[tuple[int, InboxPage]]] = defaultdict(list)
    for index, query in queries:
        by_list[_list_of(query.states)].append((index, query))
    rows: list[Row] = []
    rows += yield from run("inbox_page", *_inbox_columns(by_list["all"]))
    rows += yield from run("inbox_page_unread", *_inbox_columns(by_list["unread"]))
    rows += yield from run("inbox_page_archived", *_inbox_columns(by_list["archived"]))
    found = by_first(rows)
    for index, query in queries:
        listed = found.get(index, [])
        # What does not fit has no document with it, and says that there is more.
        items = tuple([InboxItem(*row[1:]) for row in listed if row[2] is not None])
        more = len(items) < len(listed)
        head, unread, unseen, behind = heads.get(query.user, _NO_LOG)
        answers[index] = Inbox(items, more, head, Counters(unread, unseen), bool(behind))


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
        _, inboxes, delivered, seen, read_, dead, expired = counts[query.notification]
        answers[index] = ProducerView(
            content=content_of_row(row),
            standing=row[7],
            recipients=inboxes if row[11] is None else row[11],
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
    found = by_first(rows)
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


_PLAIN: dict[type[Any], Any] = {
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
