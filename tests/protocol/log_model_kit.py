"""A user's log, one device's ledger against it, and pages of it: the store as it is promised.

The model differs from the docstring of `ReadPage` in one place, because with what is written there
no session could keep P5: see `is_news`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from tocsin.protocol.log.cursor import Cursor, LogState, Start, choose_start
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import LogEntry, PageWanted

EPOCH = "e1"
TAIL = b"+"
"""Bytes that the device gets beyond the document, and the store does not count."""


@dataclass
class Row:
    """A notification of the user: its last change, and when it was created."""

    notification: str
    sequence: int
    created: int
    change: str
    document: bytes
    expired: bool = False

    @property
    def withdrawn(self) -> bool:
        return self.change == "withdrawn"


@dataclass
class Line:
    """The ledger's line of the device for one notification."""

    sequence: int = 0
    attempts: int = 0
    acknowledged: int = 0
    dead: bool = False
    unanswered: int = 0


class Page(NamedTuple):
    entries: list[LogEntry]
    through: int
    head: int
    counted: int


@dataclass
class LogModel:
    """The truth; see the module. *unread* counts what was not withdrawn and has not expired.

    The part of *lines* and of *stored* that was *written* survives the node that knows the rest.
    Up to *doubtful*, the device may have what the lines do not know of.
    """

    head: int = 0
    unread: int = 0
    has_expired: bool = False
    horizon: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    stored: int | None = None
    written: tuple[dict[str, Line], int | None] = field(default_factory=lambda: ({}, None))
    open_session: str | None = None
    doubtful: int = 0

    # --- Producers -------------------------------------------------------------------------------

    def create(self, size: int) -> LogEntry:
        notification = f"n{self.head + 1}"
        row = Row(notification, 0, self.head + 1, "created", b"x" * size)
        self.rows[notification] = row
        self.unread += 1
        return self._append(row)

    def change(self, notification: str, change: str) -> LogEntry:
        row = self.rows[notification]
        row.change = change
        self.unread -= row.withdrawn
        return self._append(row)

    def expire(self, notification: str) -> None:
        """An expiry is no entry of the log."""
        self.rows[notification].expired = self.has_expired = True
        self.unread -= 1

    def purge(self, horizon: int) -> None:
        """Forget what has ended up to *horizon*; what is still open outlives it."""
        gone = {
            name
            for name, row in self.rows.items()
            if row.sequence <= horizon and (row.withdrawn or self.line(name).acknowledged)
        }
        self.horizon = max([self.horizon, *(self.rows[name].sequence for name in gone)])
        self.rows = {name: row for name, row in self.rows.items() if name not in gone}

    def changeable(self) -> list[str]:
        return [name for name, row in self.rows.items() if not row.withdrawn and not row.expired]

    def _append(self, row: Row) -> LogEntry:
        self.head += 1
        row.sequence = self.head
        return self.entry(row, row.change, attempts=0)

    def entry(self, row: Row, change: str, attempts: int) -> LogEntry:
        view = row.document + TAIL
        return LogEntry(row.sequence, row.notification, change, view, self.unread, 0, attempts)

    # --- The device ------------------------------------------------------------------------------

    def write(self) -> None:
        """The node's knowledge is durable."""
        self.written = deepcopy(self.lines), self.stored

    def leave(self, session: str) -> None:
        """The *session* has ended, and all is written; no effect if it is not the open one."""
        if session == self.open_session:
            self.open_session = None

    def die(self) -> None:
        """The node is gone, and what was not written is; that somebody was given up is, at once."""
        lines, self.stored = self.written
        dead = {name: line for name, line in self.lines.items() if line.dead}
        self.lines = deepcopy(lines) | dead

    def attach(self, requested: Cursor | None, session: str) -> Start:
        """Where the device starts; going back, it may have lost what it acknowledged beyond."""
        if self.open_session is not None:
            self.doubtful = self.head
        self.open_session = session
        undelivered = [
            row.sequence
            for name, row in self.rows.items()
            if not row.withdrawn and not row.expired and not self.line(name).acknowledged
        ]
        first = min(undelivered, default=None)
        start = choose_start(
            requested, EPOCH, LogState(self.head, self.horizon, self.stored, first)
        )
        self.stored = start.sequence
        for line in self.lines.values():
            has_asked = requested is not None or start.reset is not None
            if has_asked and line.acknowledged > start.sequence:
                if line.acknowledged == line.sequence:
                    line.attempts = 0
                line.acknowledged = start.sequence
            if start.resumed and line.sequence <= start.sequence:
                line.acknowledged = max(line.acknowledged, line.sequence)
        self.write()
        return start

    def line(self, notification: str) -> Line:
        return self.lines.get(notification, Line())

    def record(self, record: DeliveryRecord) -> None:
        """Merge a ledger line by the rules of `deliveries_record`."""
        line = self.lines.setdefault(record.notification, Line())
        is_answer = record.acknowledged_at is not None or record.dead_reason is not None
        if record.sequence > line.sequence or (record.sequence == line.sequence and not is_answer):
            line.unanswered = record.unanswered
        elif is_answer and record.sequence >= line.unanswered:
            line.unanswered = 0
        if record.sequence > line.sequence:
            line.sequence = record.sequence
            line.attempts = record.attempts
            line.dead = record.dead_reason is not None
        elif record.sequence == line.sequence:
            line.attempts = max(line.attempts, record.attempts)
            line.dead |= record.dead_reason is not None
        if record.acknowledged_at is not None:
            line.acknowledged = max(line.acknowledged, record.sequence)

    def as_of_now(self, entry: LogEntry) -> LogEntry:
        """*entry*, as whoever looks at the clock sees it."""
        row = self.rows.get(entry.notification_id)
        expires_at = 0 if row is not None and row.expired else None
        return structs.replace(entry, expires_at=expires_at)

    def acknowledge(self, through: int | None, ids: Iterable[str]) -> None:
        """Without a session: by cursor, or by ids."""
        for name in dict.fromkeys(ids):
            line = self.line(name)
            if line.acknowledged < line.sequence:
                line.acknowledged = line.unanswered or line.sequence
                line.unanswered = 0
        for line in self.lines.values():
            if through is not None and line.sequence <= through:
                line.acknowledged = max(line.acknowledged, line.sequence)
                line.unanswered = 0
        if through is not None:
            self.stored = max(self.stored or 0, through)
        self.write()

    # --- Pages -----------------------------------------------------------------------------------

    def is_news(self, row: Row, start: Start, began: int, after: int) -> bool:
        """Whether the device cannot have been told of *row* yet.

        Only that is `created` to it whatever happened since, and left out if it was withdrawn. To
        be newer than the session's start is not enough: the session may have pushed it since (so
        it counts what the position *after* has passed, of changes younger than the head *began*
        that the session began with), or the one before, unacknowledged (so it counts the ledger,
        unless the device comes without anything).
        """
        if row.created <= start.sequence:
            return False
        if start.resumed and row.notification in self.lines:
            return False
        return not (row.sequence > began and row.created <= after)

    def left_out(self, row: Row, start: Start, began: int, wanted: PageWanted) -> bool:
        line = self.line(row.notification)
        is_counted = row.created <= wanted.counted < row.sequence
        is_told = is_counted or (start.resumed and row.created <= self.doubtful)
        return (
            row.expired
            or (row.withdrawn and self.is_news(row, start, began, wanted.after) and not is_told)
            or line.acknowledged >= row.sequence
            or (line.dead and line.sequence >= row.sequence)
        )

    def read(self, wanted: PageWanted, start: Start, began: int, rows_max: int) -> Page:
        """A page as `ReadPage` asks for it, of *rows_max* rows at most."""
        rows = sorted(self.rows.values(), key=lambda row: row.sequence)
        rows = [row for row in rows if row.sequence > wanted.after]
        rows = [row for row in rows if not self.left_out(row, start, began, wanted)]
        entries: list[LogEntry] = []
        size = 0
        for row in rows:
            size += len(row.document)
            full = len(entries) == min(wanted.limit, rows_max) or size > wanted.bytes_max
            if full and entries:
                return Page(entries, entries[-1].sequence, self.head, self.head)
            line = self.line(row.notification)
            attempts = line.attempts if line.sequence == row.sequence else 0
            news = self.is_news(row, start, began, wanted.after) and not row.withdrawn
            entries.append(self.entry(row, "created" if news else row.change, attempts))
        return Page(entries, self.head, self.head, self.head)
