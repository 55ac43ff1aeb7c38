"""Ledger lines on their way to the store, merged so that each is written once.

A line is *settled* (acknowledged, dead) or only says "sent". Sent lines wait a little, because
their acknowledgment makes one line of two. Lines of different sequences never become one: a line
that says that sequence 6 was sent does not say that sequence 5 was acknowledged. The store merges
such lines itself, so all that matters is that they go out in order, and that no record holds two
lines of one device and notification.

The end of a session goes out behind all lines that were here when the session ended, so a session
that is closed in the store has its ledger whole. An end goes with the next lines that are written,
and becomes a reason to write only when it has waited for a second: a device that polls ends a
session with every answer, and begins the next one at once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import islice, takewhile
from typing import Final, TypeVar

from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Key = tuple[str, str, str]

RECORD_LINES_MAX: Final = 1000
"""Lines of each kind in one transaction, so that a flood does not keep posts waiting."""
_END_PATIENCE: Final = 1.0
"""Seconds that the end of a session waits for other lines to be written with."""


class LedgerBuffer:
    """Lines, cursors and ends of sessions that are to be written; `due` says when (Trio time).

    A transaction takes *lines_max* of each kind.
    """

    def __init__(self, *, lines_max: int = RECORD_LINES_MAX) -> None:
        self._lines_max = lines_max
        # In the order in which lines of one key go out: earlier ones, the settled, the sent.
        # Earlier lines are so rare that they are kept as they go out, a dict for each record.
        self._earlier: list[dict[Key, DeliveryRecord]] = []
        self._settled: dict[Key, DeliveryRecord] = {}
        self._sent: dict[Key, tuple[float, DeliveryRecord]] = {}
        self._cursors: dict[tuple[str, str], DeviceCursor] = {}
        self._ends: dict[tuple[str, str], tuple[float, SessionEnd]] = {}
        self._hurried = False
        self.due = math.inf

    def __len__(self) -> int:
        count = len(self._settled) + len(self._sent) + len(self._cursors) + len(self._ends)
        return count + sum(map(len, self._earlier)) if self._earlier else count

    @property
    def transactions(self) -> int:
        """The number of transactions that it takes to write the lines that are here now."""
        longest = max(len(self._settled), len(self._sent), len(self._cursors), len(self._earlier))
        return -(-longest // self._lines_max)

    def add(
        self, records: Sequence[DeliveryRecord], cursor: DeviceCursor | None, sent_due: float
    ) -> None:
        """Merge new lines in; one that only says "sent" may wait until *sent_due* (Trio time).

        *sent_due* must not be earlier than it was before.
        """
        for record in records:
            key = (record.user, record.device, record.notification)
            if record.acknowledged_at is None and record.dead_reason is None:
                self._add_sent(key, record, sent_due)
            else:
                sent = self._sent.pop(key, None)
                if key in self._settled:
                    self._put_aside(key, self._settled[key])
                if sent is not None and sent[1].sequence != record.sequence:
                    self._put_aside(key, sent[1])
                self._settled[key] = record
                self.due = -math.inf
        if cursor is not None:
            self._cursors[cursor.user, cursor.device] = cursor
            self.due = -math.inf

    def end(self, end: SessionEnd, sent_due: float) -> None:
        """Add the end of a session, which has no more lines; *sent_due* as in `add`."""
        key = (end.user, end.device)
        # An earlier end of the device matters no more. It is removed first, so that the new one
        # comes last: ends stand in the order of their due times.
        self._ends.pop(key, None)
        self._ends[key] = (sent_due, end)
        if (due := sent_due + _END_PATIENCE) < self.due:
            self.due = due

    def hurry(self) -> None:
        """Make all that is here due now: a query or a command needs it."""
        if len(self):
            self._hurried = True
            self.due = -math.inf

    def take(self, now: float) -> list[Record]:
        """Remove the records for the next transaction, in order; *now* is Trio's time."""
        layers, self._earlier = self._earlier, []
        settled = _take(self._settled, self._lines_max)
        sent = self._take_sent(math.inf if self._hurried else now)
        cursors = tuple(_take(self._cursors, self._lines_max).values())
        records = [Record(tuple(layer.values()), ()) for layer in layers]
        if settled or cursors:
            records.append(Record(tuple(settled.values()), cursors))
        if sent:
            records.append(Record(tuple(sent.values()), ()))
        if ends := self._take_ends():
            records.append(Record((), (), ends))
        self._hurried = self._hurried and bool(self._sent or self._ends)
        self.due = self._next_due()
        return records

    def clear(self) -> None:
        """Forget all lines, cursors and ends."""
        self.take(math.inf)
        while len(self):
            self.take(math.inf)

    def put_back(self, records: Sequence[Record]) -> None:
        """Put *records* back, which were not written; lines that have come since are newer."""
        newer = self._lines()
        ends = [end for record in records for end in record.ends]
        ends += (end for _, end in self._ends.values())
        self._earlier, self._settled, self._sent, self._ends = [], {}, {}, {}
        for record in records:
            self.add(record.deliveries, None, -math.inf)
            for cursor in record.cursors:
                self._cursors.setdefault((cursor.user, cursor.device), cursor)
        self.add(newer, None, -math.inf)
        for end in ends:
            self.end(end, -math.inf)
        self.due = -math.inf if len(self) else math.inf

    # --- Inside ----------------------------------------------------------------------------------

    def _add_sent(self, key: Key, record: DeliveryRecord, due: float) -> None:
        before = self._sent.get(key)
        if before is not None and before[1].sequence == record.sequence:
            due = before[0]
        elif before is not None:
            # The old line is removed, so that the new one comes last: sent lines stand in the order
            # of their due times.
            del self._sent[key]
            if key in self._settled:
                self._put_aside(key, self._settled.pop(key))
            self._put_aside(key, before[1])
        self._sent[key] = (due, record)
        if due < self.due:
            self.due = due

    def _put_aside(self, key: Key, record: DeliveryRecord) -> None:
        for layer in self._earlier:
            if key not in layer:
                layer[key] = record
                return
        self._earlier.append({key: record})

    def _take_sent(self, now: float) -> dict[Key, DeliveryRecord]:
        taken: dict[Key, DeliveryRecord] = {}
        for key, (due, record) in islice(self._sent.items(), self._lines_max):
            if due > now or key in self._settled:
                break
            taken[key] = record
        for key in taken:
            del self._sent[key]
        return taken

    def _take_ends(self) -> tuple[SessionEnd, ...]:
        """Remove the ends that have no line left before them."""
        if self._settled or self._cursors:
            return ()
        first = _first_due(self._sent)
        ends = islice(self._ends.values(), self._lines_max)
        taken = tuple([end for _, end in takewhile(lambda each: each[0] < first, ends)])
        for end in taken:
            del self._ends[end.user, end.device]
        return taken

    def _next_due(self) -> float:
        if self._settled or self._cursors or self._hurried:
            return -math.inf
        return min(_first_due(self._sent), _first_due(self._ends) + _END_PATIENCE)

    def _lines(self) -> list[DeliveryRecord]:
        lines = [record for layer in self._earlier for record in layer.values()]
        lines += self._settled.values()
        lines += (record for _, record in self._sent.values())
        return lines


def _first_due(waiting: dict[K, tuple[float, V]]) -> float:
    # The values stand in the order in which they are due.
    return next(iter(waiting.values()))[0] if waiting else math.inf


def _take(lines: dict[K, V], lines_max: int) -> dict[K, V]:
    if len(lines) <= lines_max:
        taken = lines.copy()
        lines.clear()
        return taken
    return {key: lines.pop(key) for key in list(islice(lines, lines_max))}


def halves(record: Record) -> list[Record]:
    """*record* as two records, in order; none if it is a single line."""
    lines, cursors, ends = record.deliveries, record.cursors, record.ends
    if ends and (lines or cursors):
        return [Record(lines, cursors), Record((), (), ends)]
    if len(ends) > 1:
        middle = len(ends) // 2
        return [Record((), (), ends[:middle]), Record((), (), ends[middle:])]
    if lines and cursors:
        return [Record(lines, ()), Record((), cursors)]
    if len(lines) + len(cursors) < 2:
        return []
    line, cursor = len(lines) // 2, len(cursors) // 2
    return [Record(lines[:line], cursors[:cursor]), Record(lines[line:], cursors[cursor:])]
