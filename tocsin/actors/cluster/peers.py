"""The other nodes that are heard, and what their clocks show.

A node's own clock, of which it tells in each sign of life, begins anywhere. What ours shows when
that is heard, less what theirs showed, is the difference of the two and the time that the word was
on its way; so the smallest that was seen is near the true one, whatever delays there were. A time
by another node's clock can be told in ours then, to some milliseconds, and nobody has to trust the
time of day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

_DRIFT: Final = 0.0002
"""Seconds that two clocks may part from one sign of life to the next."""


class Peers:
    """See the module. A peer is *audible* for *silence_max* seconds after each word."""

    def __init__(
        self, silence_max: float, missing_max: float, now: Callable[[], float] = trio.current_time
    ) -> None:
        self._silence_max = silence_max
        self._missing_max = missing_max
        self._now = now
        self._heard_at: dict[str, float] = {}
        self._differences: dict[str, float] = {}

    def alive(self, peer: str, said_at: float) -> None:
        """*peer* has said that it is alive, at *said_at* by its own clock."""
        now = self._now()
        self._heard_at[peer] = now
        known = self._differences.get(peer, now - said_at)
        self._differences[peer] = min(now - said_at, known + _DRIFT)

    def left(self, peer: str) -> None:
        """*peer* has gone in order, and is not missed."""
        self._heard_at.pop(peer, None)
        self._differences.pop(peer, None)

    def forget_dead(self) -> None:
        """Who has been missing for *missing_max* seconds is not expected back."""
        since = self._now() - self._missing_max
        for peer in [peer for peer, at in self._heard_at.items() if at < since]:
            self.left(peer)

    def our_time(self, peer: str, time: float, said_at: float) -> float:
        """What ours showed at *time* by the clock of *peer*, who told us at *said_at* by it."""
        return time + self._differences.get(peer, self._now() - said_at)

    @property
    def heard(self) -> list[str]:
        """Who is heard."""
        since = self._now() - self._silence_max
        return [peer for peer, at in self._heard_at.items() if at >= since]

    @property
    def audible(self) -> int:
        """How many are heard."""
        return len(self.heard)

    @property
    def missing(self) -> int:
        """How many are not heard, and did not say goodbye."""
        return len(self._heard_at) - self.audible
