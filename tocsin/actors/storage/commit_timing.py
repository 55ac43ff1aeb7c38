"""When a group of writes may be committed: arithmetic on times.

While a transaction is under way, the next group gathers, and goes when that has ended: no timer is
waited for then. If the store is idle, a command that comes alone goes at once. The first command of
a crowd waits for the others, a moment at most (`WAIT_MAX`) and only until as many are here as came
together last time. For askers that have just been answered ask again nearly at once, and one
transaction for all their commands costs little more than one for the first.
"""

from __future__ import annotations

import math
from typing import Final

WAIT_MAX: Final = 0.002
"""Seconds that the first of a crowd waits for it: less than the transaction itself takes."""
_FORGOTTEN_AFTER: Final = 1.0
"""Seconds without a command after which no crowd is expected any more."""


class CommitPace:
    """The pace of commits: *due* says when (Trio time) the commands that wait may be committed."""

    __slots__ = ("_crowd", "_last_at", "due")

    def __init__(self) -> None:
        self.due = -math.inf
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
            self.due = now if self._crowd <= 1 else now + WAIT_MAX
            return True
        return False

    def went(self, count: int) -> None:
        """Note that *count* commands went into one transaction."""
        self._crowd = max(count, self._crowd // 2)
