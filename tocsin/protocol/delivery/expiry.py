"""When a session's token has ended, by the wall's clock, as arithmetic.

Two clocks are needed: the wall's, in which the token's end is given, and the monotonic one, by
which deadlines are kept. They drift apart when the wall clock is set, or when the machine sleeps
and the monotonic one stands still. So the end is checked again and again: with `has_passed` before
each push, and at `next_look`, which is at most *interval* seconds away.
"""

from __future__ import annotations

import math


class Expiry:
    """See the module. *ends_at* in Unix milliseconds, `None` for a token that has no end."""

    __slots__ = ("_ends_at", "_interval", "next_look")

    def __init__(self, ends_at: int | None, interval: float) -> None:
        self._ends_at = math.inf if ends_at is None else ends_at
        self._interval = interval
        self.next_look = math.inf if ends_at is None else -math.inf
        """When to call `look` again, by the monotonic clock."""

    def has_passed(self, now_ms: int) -> bool:
        """Whether the token has ended at *now_ms* (Unix milliseconds)."""
        return now_ms >= self._ends_at

    def look(self, now: float, now_ms: int) -> None:
        """Set `next_look`, at *now* by the monotonic clock and *now_ms* by the wall's."""
        if self._ends_at < math.inf:
            left = max(0.0, self._ends_at - now_ms) / 1000
            self.next_look = now + min(left, self._interval)
