"""Queries of the receipts' log, each with its answer.

Import the commands about its followers from `tocsin.persistence.store.sink_commands`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Query
from tocsin.protocol.receipts.receipt import SCANNED_MAX, Filter, Receipt


class ReceiptPage(msgspec.Struct, frozen=True):
    """*receipts*, and the position *through* which they are complete.

    *head* and *horizon* are those of the log: receipts up to the horizon were purged.
    """

    receipts: tuple[Receipt, ...]
    through: int
    head: int
    horizon: int


class ReadReceipts(Query[ReceiptPage], frozen=True):
    """The receipts behind the position *after* that *filter* lets through, at most *limit*.

    At most *scanned_max* positions are looked through; then the page ends, also an empty one.
    """

    after: int
    filter: Filter
    limit: int
    scanned_max: int = SCANNED_MAX


class Receipts(msgspec.Struct, frozen=True):
    receipts: tuple[Receipt, ...]


class FindReceipts(Query[Receipts], frozen=True):
    """The receipts at *positions*, in order; those that were purged are left out."""

    positions: tuple[int, ...]


class ReceiptsSince(Query[int], frozen=True):
    """The position in front of the first receipt that is not older than *since* (Unix ms)."""

    since: int
