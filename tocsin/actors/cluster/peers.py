"""The other nodes that are heard, and what their clocks show.

Each sign of life carries the time by its node's own clock, which begins anywhere. Our time when we
hear the sign, less their time when it was given, is the difference of the two clocks plus the time
that the sign was on its way. That time is never negative, so the smallest value seen is the best
estimate of the difference, whatever the delays. With it a time by another node's clock is converted
to ours, to some milliseconds, and no node has to trust the time of day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

_DRIFT: Final = 0.0002
"""Seconds that two clocks may part from one sign of life to the next."""


class Peers:
    """The peers of a node. Each is *audible* for *silence_max* seconds after its last sign of life.

    A peer that has been silent for *missing_max* seconds is forgotten. *now* is Trio's clock.
    """

    def __init__(
        self, silence_max: float, missing_max: float, now: Callable[[], float] = trio.current_time
    ) -> None:
        self._silence_max = silence_max
        self._missing_max = missing_max
        self._now = now
        self._heard_at: dict[str, float] = {}
        self._differences: dict[str, float] = {}

    def alive(self, peer: str, said_at: float) -> None:
        """Note that *peer* gave a sign of life, at *said_at* by its own clock."""
        now = self._now()
        self._heard_at[peer] = now
        known = self._differences.get(peer, now - said_at)
        self._differences[peer] = min(now - said_at, known + _DRIFT)

    def left(self, peer: str) -> None:
        """Forget *peer*, which has said goodbye and so is not missed."""
        self._heard_at.pop(peer, None)
        self._differences.pop(peer, None)

    def forget_dead(self) -> None:
        """Forget the peers that have been missing for *missing_max* seconds: they are dead."""
        since = self._now() - self._missing_max
        for peer in [peer for peer, at in self._heard_at.items() if at < since]:
            self.left(peer)

    def our_time(self, peer: str, time: float, said_at: float) -> float:
        """*time*, which is by the clock of *peer*, converted to our clock (Trio time).

        *said_at* is when the peer told it, by its clock as well.
        """
        return time + self._differences.get(peer, self._now() - said_at)

    @property
    def heard(self) -> list[str]:
        """The peers that are heard."""
        since = self._now() - self._silence_max
        return [peer for peer, at in self._heard_at.items() if at >= since]

    @property
    def audible(self) -> int:
        """How many peers are heard."""
        return len(self.heard)

    @property
    def missing(self) -> int:
        """How many peers are not heard, and did not say goodbye."""
        return len(self._heard_at) - self.audible
