"""Random generators made from the seed: each device, producer, node and kind of fault has its own.

So the draws of one do not depend on the draws of another. A run without some of its faults, or with
fewer devices, is otherwise almost the same run, and a failure can be shrunk until it is small
enough to read.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance(random.Random):
    """The random generator of *whom*. It is seeded by text, so it is the same in every process."""

    def __new__(cls, seed: int, *whom: object) -> Chance:
        return super().__new__(cls)

    def __init__(self, seed: int, *whom: object) -> None:
        super().__init__("/".join(map(str, (seed, *whom))))

    def happens(self, probability: float) -> bool:
        """True with this *probability*."""
        return self.random() < probability

    def wait(self, mean: float) -> float:
        """Seconds until the next event of a Poisson process with one event per *mean* seconds."""
        return -math.log(1.0 - self.random()) * mean if mean < math.inf else math.inf

    def one(self, of: Sequence[T]) -> T:
        """One element of *of*, each with the same probability."""
        return of[int(self.random() * len(of))]
