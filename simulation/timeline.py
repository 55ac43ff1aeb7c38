"""What happens outside the nodes, in order of time: one queue of events, and one task for all.

Devices, producers, networks and faults are no tasks but objects that are called when their time has
come. A hundred devices then cost what they do, and not what a hundred sleeping tasks would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

import trio

_Event = tuple[float, int, Callable[..., object], tuple[Any, ...]]


class Timeline:
    """See the module. Events of the same time happen in the order in which they were asked for."""

    def __init__(self) -> None:
        self._events: list[_Event] = []
        self._count = count()
        self._waiting: trio.lowlevel.Task | None = None
        self._is_over = False
        self.now = 0.0
        """The time (Trio's), as of the event that is happening."""

    @property
    def next_time(self) -> float:
        """When something happens next."""
        return self._events[0][0] if self._events else math.inf

    def at(self, time: float, event: Callable[..., object], *arguments: Any) -> None:
        """Have *event* called at *time*, or as soon as nothing else can be done if that is past."""
        heappush(self._events, (time, next(self._count), event, arguments))

    def after(self, delay: float, event: Callable[..., object], *arguments: Any) -> None:
        """Have *event* called in *delay* seconds."""
        self.at(trio.current_time() + delay, event, *arguments)

    def end(self) -> None:
        """Nothing more happens."""
        self._is_over = True
        self._events.clear()
        self.at(-math.inf, lambda: None)

    async def run(self) -> None:
        """Let things happen until `end`."""
        while not self._is_over:
            now = self.now = trio.current_time()
            while self._events and self._events[0][0] <= now:
                _, _, event, arguments = heappop(self._events)
                event(*arguments)
            if not self._is_over:
                self._waiting = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abandon)

    def wake(self) -> None:
        """The time for something has come: called by the clock."""
        if (task := self._waiting) is not None:
            self._waiting = None
            trio.lowlevel.reschedule(task)

    async def sleep(self, seconds: float) -> None:
        """As `trio.sleep`, for less: no deadline, no exception."""
        task = trio.lowlevel.current_task()
        is_over = False

        def wake() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                trio.lowlevel.reschedule(task)

        def abandon(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            nonlocal is_over
            is_over = True
            return trio.lowlevel.Abort.SUCCEEDED

        self.after(seconds, wake)
        await trio.lowlevel.wait_task_rescheduled(abandon)

    def _abandon(self, _: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED
