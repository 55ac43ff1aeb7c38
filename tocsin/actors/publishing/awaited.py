"""The acknowledgments that are still to come of notifications that were just pushed.

It is a count for operators: how many notifications their users have not received yet. Nothing waits
for it. So it is counted by call, a notification that takes too long is counted no longer, and
beyond `LIVE_MAX` no more are counted.
"""

from __future__ import annotations

import math
from typing import Final

PATIENCE: Final = 60.0
"""Seconds for which a notification is counted: most acknowledgments come in the first moments."""
LIVE_MAX: Final = 20_000
"""Notifications that are counted at a time: each costs memory."""


class _Waiting:
    __slots__ = ("left", "until")

    def __init__(self, left: int, until: float) -> None:
        self.left = left
        self.until = until


class Awaited:
    """See the module; times are Trio's."""

    __slots__ = ("_due", "_waiting")

    def __init__(self) -> None:
        # In the order in which they are given up.
        self._waiting: dict[str, _Waiting] = {}
        # No later than the first of these times.
        self._due = math.inf

    def expect(self, notification: str, count: int, now: float) -> None:
        """Expect *count* more acknowledgments of *notification*, as long as all those before."""
        if now >= self._due:
            self.give_up(now)
        if (waiting := self._waiting.pop(notification, None)) is not None:
            count += waiting.left
        if len(self._waiting) < LIVE_MAX:
            until = now + PATIENCE
            self._waiting[notification] = _Waiting(count, until)
            self._due = min(self._due, until)

    def acknowledged(self, notification: str) -> None:
        """One acknowledgment of *notification* has come; without effect if none is expected."""
        waiting = self._waiting.get(notification)
        if waiting is not None:
            waiting.left -= 1
            if not waiting.left:
                del self._waiting[notification]

    def give_up(self, now: float) -> None:
        """Expect no more acknowledgments of the notifications whose time is over."""
        self._due = math.inf
        while self._waiting:
            notification, first = next(iter(self._waiting.items()))
            if first.until > now:
                self._due = first.until
                break
            del self._waiting[notification]

    def clear(self) -> None:
        """Expect no acknowledgments."""
        self._waiting.clear()

    def counts(self) -> dict[str, int]:
        """The number of acknowledgments that are expected of each notification."""
        return {notification: waiting.left for notification, waiting in self._waiting.items()}
