"""When a group of writes may be committed: arithmetic on times.

Those who come together are waited for until they are all here, that is, until it is quiet: a
thousand concurrent posts are then a few dozen transactions. Who comes alone is not kept waiting for
others; whether others are to be expected is guessed from how many came together last.
"""

from __future__ import annotations

import math
from typing import Final

_GAP_PER_COMMAND: Final = 0.001
_GAP_MAX: Final = 0.008
"""Seconds that a quiet moment must last, by how many came together last, and at the most."""
_WAIT_MAX: Final = 0.040
"""Seconds that the first of a crowd waits for it."""
_FORGOTTEN_AFTER: Final = 1.0
"""Seconds without a command after which no crowd is expected any more."""


class Pace:
    """*due* says when (Trio time) those who have come may go."""

    __slots__ = ("_crowd", "_first_at", "_last_at")

    def __init__(self) -> None:
        self._first_at = -math.inf
        self._last_at = -math.inf
        self._crowd = 0

    def came(self, now: float, *, first: bool) -> None:
        """A command came; *first* says that none was waiting."""
        if now - self._last_at > _FORGOTTEN_AFTER:
            self._crowd = 0
        self._last_at = now
        if first:
            self._first_at = now

    def went(self, count: int) -> None:
        """*count* commands went into one transaction."""
        self._crowd = max(count, self._crowd // 2)

    @property
    def due(self) -> float:
        gap = min(_GAP_MAX, _GAP_PER_COMMAND * (self._crowd - 1))
        return min(self._last_at + gap, self._first_at + _WAIT_MAX)
