"""Whether a node's knowledge of its users' logs is fresh enough to deliver from.

It is fresh while the node hears the others, or has just looked into the store instead. A process
that was stopped for longer than that (SIGSTOP, a frozen machine) notices it by the clock, before it
does anything else. Then its knowledge is stale until it has looked into the store, and the sessions
have read the entries that it found.
"""

from __future__ import annotations

import math
from typing import Final

SETTLING: Final = 1.0
"""Seconds in which sessions read the entries that a look has found."""


class Freshness:
    """The freshness of one node; all times are Trio's, *silence_max* is in seconds."""

    def __init__(self, silence_max: float) -> None:
        self._silence_max = silence_max
        self._looked_until = -math.inf
        self._stale_at = -math.inf
        self._fresh_from = math.inf
        self.heard_until = -math.inf
        """When the node last said something that it has heard itself."""

    @property
    def is_stale(self) -> bool:
        """Whether a look has to begin before the node's knowledge is believed again."""
        return self._fresh_from == math.inf

    def is_fresh(self, now: float) -> bool:
        """Whether the node may deliver from what it knows, at *now*."""
        self.notice_pause(now)
        return now >= self._fresh_from

    def heard(self, said_at: float) -> None:
        """Note that a sign of life that the node gave at *said_at* has come back."""
        self.heard_until = max(self.heard_until, said_at)

    def looked(self, began: float, now: float) -> None:
        """Note that the logs of all online users were looked at, from *began* until *now*."""
        self.notice_pause(now)
        self._looked_until = began
        if self.is_stale and began >= self._stale_at:
            self._fresh_from = now + SETTLING

    def notice_pause(self, now: float) -> None:
        """See whether the node has neither heard nor looked for some seconds: then it is stale."""
        known_until = max(self.heard_until, self._looked_until)
        if now - known_until > self._silence_max and not self.is_stale:
            self._stale_at, self._fresh_from = now, math.inf
