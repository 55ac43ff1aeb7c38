"""A node's last quarter of an hour, a sample a second: what the console's charts are drawn from.

There is no database behind it: a node that was started a minute ago knows a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from tocsin.actors.runtime.worker import TableWorker, Tasks

INTERVAL: Final = 1.0
"""Seconds between two samples."""
SAMPLES_MAX: Final = 900
"""A quarter of an hour; some hundred KiB."""

Sample = Sequence[float]


class Samples:
    """The samples of one node, the oldest first; each begins with its time in Unix milliseconds."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    def keep(self, sample: Sample) -> None:
        """Keep *sample*; the oldest makes room for it."""
        self._kept.append(sample)

    def after(self, at: float) -> list[Sample]:
        """The samples that are younger than *at* (Unix milliseconds)."""
        return [sample for sample in self._kept if sample[0] > at]


class Sampler(TableWorker):
    """Puts what *take* makes into *samples* every second."""

    __slots__ = ("_samples", "_take")

    def __init__(self, samples: Samples, take: Callable[[], Sample]) -> None:
        self._samples = samples
        self._take = take

    def tasks(self) -> Tasks:
        """One, for ever."""
        return (self._sample,)

    async def _sample(self) -> None:
        while True:
            self._samples.keep(self._take())
            await trio.sleep(INTERVAL)
