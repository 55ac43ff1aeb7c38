"""The delivery ledger of a node, on its way to the store.

Two lines are noted for every delivery, more than of anything else that goes to the store, and no
request waits for them. So noting is a call and not a message: it merges the line into the waiting
ones, in the task that has it at hand. The storage actor takes the lines that are due from here and
writes them. Waiting lines outlive that actor's incarnations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.storage.ledger_buffer import LedgerBuffer
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd

LINES_MAX: Final = 50_000
"""Lines that may wait while the store is slow or away: some tens of MiB."""
LINGERING_MAX: Final = 20_000
"""Lines beyond which even a line that only says "sent" waits no longer."""


class Ledger:
    """The lines that wait to be written; one that only says "sent" waits *linger* seconds."""

    __slots__ = ("_lines_max", "_linger", "_lingering_max", "bell", "waiting")

    def __init__(
        self, linger: float, *, lines_max: int = LINES_MAX, lingering_max: int = LINGERING_MAX
    ) -> None:
        self._linger = linger
        self._lines_max = lines_max
        self._lingering_max = lingering_max
        self.waiting = LedgerBuffer()
        self.bell = Bell()
        """Rings when lines are due sooner than before."""

    def note(
        self, records: Sequence[DeliveryRecord], cursor: DeviceCursor | None, now: float
    ) -> bool:
        """Note *records* and a device's *cursor* at *now* (Trio time); whether there was room."""
        waiting = self.waiting
        lines = len(waiting)
        if lines >= self._lines_max:
            return False
        due = waiting.due
        waiting.add(records, cursor, now + self._linger)
        if lines >= self._lingering_max:
            waiting.hurry()
        # The bell rings only if the lines are due sooner: most of them cost no switch of tasks.
        if waiting.due < due:
            self.bell.ring_at(waiting.due, now)
        return True

    def note_end(self, end: SessionEnd, now: float) -> None:
        """Note at *now* (Trio time) that a session has ended, all of whose lines were noted.

        If there is no room for the end, the store goes on believing that the session is open. Then
        its device is told of withdrawals that do not concern it, and no more happens.
        """
        waiting = self.waiting
        if len(waiting) < self._lines_max:
            due = waiting.due
            waiting.end(end, now + self._linger)
            if waiting.due < due:
                self.bell.ring()
