"""Chance, from a seed: a generator of its own for everybody who needs one.

So that what one does is the same whatever another does: a run without some of its faults, or with
fewer devices, is else as it was. That is what makes a failure small enough to be read.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance(random.Random):
    """Chance for *whom*; texts seed it the same way in every process."""

    def __new__(cls, seed: int, *whom: object) -> Chance:
        return super().__new__(cls)

    def __init__(self, seed: int, *whom: object) -> None:
        super().__init__("/".join(map(str, (seed, *whom))))

    def happens(self, probability: float) -> bool:
        """Whether something that happens in so many of all cases does now."""
        return self.random() < probability

    def wait(self, mean: float) -> float:
        """Seconds until the next of events that come every *mean* seconds, independently."""
        return -math.log(1.0 - self.random()) * mean if mean < math.inf else math.inf

    def one(self, of: Sequence[T]) -> T:
        """One of several."""
        return of[int(self.random() * len(of))]
