"""Ledger lines on their way to the store, merged so that each is written once."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import islice
from typing import Final, TypeVar

from tocsin.persistence.store import Record
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_LINES_MAX: Final = 5000
"""Lines in one transaction, so that a flood of them does not keep posts waiting."""


class LedgerBuffer:
    """One line per device and notification, one cursor per device; `due` says when to write."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, str], DeliveryRecord] = {}
        self._cursors: dict[tuple[str, str], DeviceCursor] = {}
        self.due = math.inf

    def __len__(self) -> int:
        return len(self._records) + len(self._cursors)

    def add(
        self, records: tuple[DeliveryRecord, ...], cursor: DeviceCursor | None, sent_due: float
    ) -> None:
        """Merge new lines in; one that only says "sent" may wait until *sent_due* (Trio time)."""
        for record in records:
            self._records[record.user, record.device, record.notification] = record
            final = record.acknowledged_at is not None or record.dead_reason is not None
            self.due = min(self.due, -math.inf if final else sent_due)
        if cursor is not None:
            self._cursors[cursor.user, cursor.device] = cursor
            self.due = -math.inf

    def hurry(self) -> None:
        """What is here is wanted now."""
        if len(self):
            self.due = -math.inf

    def take(self) -> Record | None:
        """Remove what goes into the next transaction."""
        if not len(self):
            return None
        record = Record(tuple(_take(self._records)), tuple(_take(self._cursors)))
        if not len(self):
            self.due = math.inf
        return record

    def put_back(self, record: Record) -> None:
        """They were not written; what has come since is newer and stays."""
        for line in record.deliveries:
            self._records.setdefault((line.user, line.device, line.notification), line)
        for cursor in record.cursors:
            self._cursors.setdefault((cursor.user, cursor.device), cursor)
        self.hurry()


def _take(lines: dict[K, V]) -> list[V]:
    if len(lines) <= _LINES_MAX:
        taken = list(lines.values())
        lines.clear()
        return taken
    return [lines.pop(key) for key in list(islice(lines, _LINES_MAX))]
