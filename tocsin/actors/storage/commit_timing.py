"""When a group of writes may be committed: arithmetic on times.

While a transaction is under way, the next group gathers, and goes when that has ended: no timer is
waited for then. If the store is idle, a command that comes alone goes at once. The first command of
a crowd waits for the others, a moment at most (`WAIT_MAX`) and only until as many are here as came
together last time. For askers that have just been answered ask again nearly at once, and one
transaction for all their commands costs little more than one for the first.

Waiting has to pay. If the first of k commands goes at once, the others wait for its transaction and
for their own; if it waits, all wait as long as it does. So a wait is worth it if it is shorter than
(k - 1) / k of a transaction. Two commands are not waited for, because they may as well have come
one by one; and no wait is longer than half a transaction, however many commands are expected.
"""

from __future__ import annotations

import math
from typing import Final

WAIT_MAX: Final = 0.002
"""Seconds that the first of a crowd waits for it: less than the transaction itself takes."""
_CROWD_MIN: Final = 3
"""Commands that are worth waiting for."""
_FORGOTTEN_AFTER: Final = 1.0
"""Seconds without a command after which no crowd is expected any more."""


class CommitPace:
    """The pace of commits: *due* says when (Trio time) the commands that wait may be committed."""

    __slots__ = ("_crowd", "_last_at", "_wait", "due")

    def __init__(self) -> None:
        self.due = -math.inf
        self._wait = WAIT_MAX
        self._last_at = -math.inf
        self._crowd = 0

    def came(self, now: float, count: int) -> bool:
        """Note a command at *now* (Trio time), when *count* wait; returns whether `due` changed."""
        if now - self._last_at > _FORGOTTEN_AFTER:
            self._crowd = 0
        self._last_at = now
        if count >= self._crowd and self.due > now:
            self.due = now
            return True
        if count == 1:
            self.due = now if self._crowd < _CROWD_MIN else now + self._wait
            return True
        return False

    def went(self, count: int) -> None:
        """Note that *count* commands went into one transaction."""
        self._crowd = max(count, self._crowd // 2)

    def ended(self, took: float) -> None:
        """Note that a transaction took so many seconds."""
        self._wait = min(WAIT_MAX, took / 2)
