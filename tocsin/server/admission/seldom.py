"""Log lines that others could make us write: said, but not all the time.

A client that can cause a line can cause a million, which fill a disk and hide the one that
mattered. So of lines of one kind only so many are written in a time, and the next one says how many
were left out.
"""

from __future__ import annotations

import math


class Seldom:
    """Lets *times* through within *period* seconds, and counts the rest. Not for several threads.

    cannot_accept = Seldom(1, 10.0)
    ...
    if (left_out := cannot_accept.due(now)) is not None:
        logger.error("cannot accept connections", left_out=left_out)
    """

    __slots__ = ("_began", "_left_out", "_period", "_said", "_times")

    def __init__(self, times: int, period: float) -> None:
        self._times = times
        self._period = period
        self._began = -math.inf
        self._said = 0
        self._left_out = 0

    def due(self, now: float) -> int | None:
        """How many were left out since the last one, if this one may be said; else `None`.

        *now* is in seconds of a clock that never goes back.
        """
        if now - self._began >= self._period:
            self._began = now
            self._said = 0
        if self._said >= self._times:
            self._left_out += 1
            return None
        self._said += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
