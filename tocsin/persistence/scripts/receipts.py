"""Scripts of the receipts' log: appending facts, and reading.

Scripts that make a fact true note it in the transaction's `Facts`; `append` is the last step of the
transaction, because the lock of the log's head is one for the whole cluster. While no sink wants
it, nothing is written and no lock is taken.
"""

from __future__ import annotations

from typing import Final

from tocsin.persistence.scripts.lists import Answers, Numbered, by_number
from tocsin.persistence.scripts.statements import Row, Rows, Script, pick, run
from tocsin.persistence.store.receipt_queries import (
    FindReceipts,
    ReadReceipts,
    ReceiptPage,
    Receipts,
    ReceiptsSince,
)
from tocsin.protocol.receipts.receipt import Facts, Receipt

_APPEND: Final = pick(
    "kind",
    "at",
    "channel",
    "detail",
    notification_id="notification",
    user_id="user",
    device_id="device",
)
_PAGE: Final = pick(
    "after",
    events="filter.events_text",
    categories="filter.categories_text",
    receipts_max="limit",
    scanned_max="scanned_max",
)


def append(facts: Facts) -> Script[None]:
    """Append those of *facts* to the log that some sink wants.

    The statement itself finds out whether there is such a sink. It has no rows, so it goes along
    with the end of the transaction, and costs no round trip where nobody listens.
    """
    if facts:
        yield from run("receipts_append", **_APPEND(facts))


def purge_receipts(before: int, rows_max: int) -> Script[Rows]:
    """Forget the oldest receipts from *before* a time (Unix ms), and move the horizon."""
    rows = yield from run("receipts_purge", before=[before], rows_max=[rows_max])
    if rows:
        yield from run("receipts_horizon", position=[max(row.position for row in rows)])
    return rows


def receipt_pages(queries: Numbered[ReadReceipts], answers: Answers) -> Script[None]:
    rows = yield from run(
        "receipts_page",
        **_PAGE([query for _, query in queries]),
        number=[index for index, _ in queries],
    )
    found = by_number(rows)
    for index, query in queries:
        answers[index] = _page(found[index], query)


def _page(rows: Rows, query: ReadReceipts) -> ReceiptPage:
    log = rows[0]
    receipts = tuple([receipt_of_row(row) for row in rows if row.position is not None])
    after = max(query.after, log.horizon)
    through = min(log.head, after + query.scanned_max)
    if len(receipts) == query.limit:
        through = receipts[-1].position
    return ReceiptPage(receipts, max(through, query.after), log.head, log.horizon)


def receipts_named(queries: Numbered[FindReceipts], answers: Answers) -> Script[None]:
    asked = [(index, position) for index, query in queries for position in sorted(query.positions)]
    rows = yield from run(
        "receipts_named",
        number=[index for index, _ in asked],
        position=[position for _, position in asked],
    )
    found = by_number(rows)
    for index, _ in queries:
        answers[index] = Receipts(tuple([receipt_of_row(row) for row in found.get(index, ())]))


def receipts_since(queries: Numbered[ReceiptsSince], answers: Answers) -> Script[None]:
    rows = yield from run(
        "receipts_since",
        number=[index for index, _ in queries],
        since=[query.since for _, query in queries],
    )
    for row in rows:
        answers[row.number] = row.position


def receipt_of_row(row: Row) -> Receipt:
    """The receipt in a row of `receipts_page` or `receipts_named`."""
    return Receipt(
        row.position,
        row.kind,
        row.notification_id,
        row.category,
        row.user_id,
        row.device_id,
        row.channel,
        row.at,
        row.detail,
    )
