"""Whether what a node knows of its users' logs is fresh enough to be delivered from.

It is while the node hears the others, or has just looked into the store instead. A process that was
stopped for longer than that (SIGSTOP, a frozen machine) finds out by the clock, before it does
anything else, and is stale until it has looked, and the sessions have read what was found.
"""

from __future__ import annotations

import math
from typing import Final

SETTLING: Final = 1.0
"""Seconds in which sessions read what a look has found."""


class Freshness:
    """All times are Trio's; *silence_max* in seconds."""

    def __init__(self, silence_max: float) -> None:
        self._silence_max = silence_max
        self._looked_until = -math.inf
        self._stale_at = -math.inf
        self._fresh_from = math.inf
        self.heard_until = -math.inf
        """When the node last said something that it has heard itself."""

    @property
    def is_stale(self) -> bool:
        """Whether a look has to begin before anything is believed."""
        return self._fresh_from == math.inf

    def is_fresh(self, now: float) -> bool:
        self.notice_pause(now)
        return now >= self._fresh_from

    def heard(self, said_at: float) -> None:
        """A word of the node's own has come back."""
        self.heard_until = max(self.heard_until, said_at)

    def looked(self, began: float, now: float) -> None:
        """Everybody was looked at, from *began* until *now*."""
        self.notice_pause(now)
        self._looked_until = began
        if self.is_stale and began >= self._stale_at:
            self._fresh_from = now + SETTLING

    def notice_pause(self, now: float) -> None:
        """See whether for some seconds nothing was heard, nor read instead."""
        known_until = max(self.heard_until, self._looked_until)
        if now - known_until > self._silence_max and not self.is_stale:
            self._stale_at, self._fresh_from = now, math.inf
