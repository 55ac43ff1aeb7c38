"""How late the event loop wakes a timer, and how much of a core it uses.

All actors of a node run in one thread, so the lag of one timer is every actor's: 50 ms of it are in
each answer. No actor needs the watcher, which only looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from tocsin.actors.runtime.histogram import Histogram
from tocsin.actors.runtime.worker import TableWorker, Tasks

BEAT: Final = 0.25
"""Seconds between two looks: often enough to see a stall of a second, at 0.02 % of a core."""
MEMORY: Final = 10.0
"""Seconds in which what was busy counts for 1/e: a burst shows, and does not stay."""


@dataclass(slots=True)
class LoopStatus:
    """The findings of the watcher; *busy* is a share of one core, 0 to 1."""

    busy: float = 0.0
    late: float = 0.0
    """The last lag, in seconds."""
    lag: Histogram = field(default_factory=Histogram)
    """How much later than asked for the loop has woken the watcher, in seconds."""


class LoopWatcher(TableWorker):
    """Keeps *status*; *thread_time* gives the CPU seconds of the running thread."""

    __slots__ = ("_status", "_thread_time")

    def __init__(self, status: LoopStatus, thread_time: Callable[[], float]) -> None:
        self._status = status
        self._thread_time = thread_time

    def tasks(self) -> Tasks:
        """One that looks for ever."""
        return (self._beat,)

    async def _beat(self) -> None:
        while True:
            began, used = trio.current_time(), self._thread_time()
            await trio.sleep(BEAT)
            now = trio.current_time()
            self._status.late = max(0.0, now - began - BEAT)
            self._status.lag.observe(self._status.late)
            share = (self._thread_time() - used) / (now - began)
            weight = math.exp((began - now) / MEMORY)
            self._status.busy = weight * self._status.busy + (1.0 - weight) * min(1.0, share)
