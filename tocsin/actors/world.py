"""The world as the actors know it: time, chance and entropy, all replaceable.

Trio's own clock serves for deadlines. Nothing else in `actors/` reads a clock or rolls a die, so a
whole node can run under a virtual clock from a seed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_ENTROPY_BYTES: Final = 4096
"""Bytes fetched at a time: a page."""


@dataclass(frozen=True, slots=True)
class World:
    """*now_ms* is wall time (Unix milliseconds), *random* in [0, 1), *entropy(n)* n bytes."""

    now_ms: Callable[[], int]
    random: Callable[[], float]
    entropy: Callable[[int], bytes]


def real_world() -> World:
    """The clock and the entropy of the machine."""
    # The one place that may touch them; all other code is handed a World.
    return World(lambda: time.time_ns() // 1_000_000, random.Random().random, _Entropy().take)


class _Entropy:
    """The kernel's random bytes, fetched a page at a time: a system call for each id adds up."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        if self._used + count > len(self._bytes):
            self._bytes = os.urandom(max(count, _ENTROPY_BYTES))
            self._used = 0
        self._used += count
        return self._bytes[self._used - count : self._used]
