"""Times by the thousand in a few hundred counters: quantiles to two per cent, whatever the count.

Each counter stands for times within two per cent of each other, as in an HDR histogram
(G. Tene); so a run of a day takes as much memory as one of a minute.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

_STEP: Final = 1.02
"""Each counter's times are at most two per cent longer than those of the one before."""
_FLOOR: Final = 1e-5
"""Seconds; all below counts as that."""


class Latencies:
    """The spread of times in seconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.greatest = 0.0

    def note(self, seconds: float) -> None:
        """Count one time."""
        self.greatest = max(self.greatest, seconds)
        self._counts[math.ceil(math.log(max(seconds, _FLOOR) / _FLOOR, _STEP))] += 1

    @property
    def count(self) -> int:
        """How many times were noted."""
        return self._counts.total()

    def quantile(self, share: float) -> float | None:
        """The time that *share* of all do not exceed; `None` if there is none."""
        left = math.ceil(share * self.count)
        for index in sorted(self._counts):
            left -= self._counts[index]
            if left <= 0:
                return min(_FLOOR * _STEP**index, self.greatest)
        return None
