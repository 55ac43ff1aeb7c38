"""A breaker: while a channel as a whole is in trouble, nothing is tried on it but one probe a time.

CLOSED ── trouble ─→ OPEN ── delay over ─→ PROBING ── passed ─→ CLOSED
                       ↑                      │ trouble
                       └──────────────────────┘   (a longer delay)
"""

from __future__ import annotations

import math
from typing import Final

DELAY_FIRST: Final = 5.0
"""Seconds of the first pause: a mail server that restarts is back by then."""
DELAY_MAX: Final = 300.0
"""Seconds of the longest pause: what waits is to go out soon after the channel is back."""


class Breaker:
    """See the module; times are Trio's seconds."""

    def __init__(self) -> None:
        self._delay = 0.0
        self.closed_at = -math.inf
        """When the next attempt may be made."""
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last attempt failed because of the channel."""
        return self.reason is not None

    def room(self, now: float, wanted: int) -> int:
        """How many of *wanted* attempts may be made *now*."""
        if not self.is_open:
            return wanted
        return min(1, wanted) if now >= self.closed_at else 0

    def trouble(self, now: float, reason: str, asked: float | None = None) -> None:
        """The channel failed; pause it, for *asked* seconds at least."""
        if now < self.closed_at:
            # Attempts that were under way when the pause began do not make it longer.
            return
        self._delay = min(DELAY_MAX, self._delay * 2 or DELAY_FIRST)
        self.closed_at = now + max(self._delay, min(asked or 0.0, DELAY_MAX))
        self.reason = reason

    def passed(self) -> None:
        """An attempt was answered: the channel works."""
        self._delay, self.closed_at, self.reason = 0.0, -math.inf, None
