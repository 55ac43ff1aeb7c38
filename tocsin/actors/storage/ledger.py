"""The delivery ledger of a node, on its way to the store.

Two lines are noted for every delivery, more than of anything else that goes to the store, and
nobody waits for them. So noting is a call and not a message: it merges the line into what waits, in
the task that has it at hand. The storage actor takes what is due from here and writes it. What
waits outlives that actor's incarnations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.storage.ledger_buffer import LedgerBuffer
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor, SessionEnd

LINES_MAX: Final = 50_000
"""Lines that may wait while the store is slow or away: some tens of MiB."""
_CROWD: Final = 20_000
"""With so many, those wait no longer that only say "sent"."""


class Ledger:
    """Lines that only say "sent" wait *linger* seconds for their acknowledgment."""

    __slots__ = ("_linger", "bell", "waiting")

    def __init__(self, linger: float) -> None:
        self._linger = linger
        self.waiting = LedgerBuffer()
        self.bell = Bell()
        """Rings when there is something to write sooner than before."""

    def note(
        self, records: Sequence[DeliveryRecord], cursor: DeviceCursor | None, now: float
    ) -> bool:
        """Note, at *now* (Trio time), *records* and how far a device is; whether there was room."""
        waiting = self.waiting
        lines = len(waiting)
        if lines >= LINES_MAX:
            return False
        due = waiting.due
        waiting.add(records, cursor, now + self._linger)
        if lines >= _CROWD:
            waiting.hurry()
        # Only where there is something new to know: most lines cost no task switch.
        if waiting.due < due:
            self.bell.ring_at(waiting.due, now)
        return True

    def note_end(self, end: SessionEnd, now: float) -> None:
        """Note, at *now*, that a session has ended, all of whose lines were noted.

        Where there is no room for it, the store goes on believing that the session is open, which
        costs its device no more than to be told of withdrawals that do not concern it.
        """
        waiting = self.waiting
        if len(waiting) < LINES_MAX:
            due = waiting.due
            waiting.end(end, now + self._linger)
            if waiting.due < due:
                self.bell.ring()
