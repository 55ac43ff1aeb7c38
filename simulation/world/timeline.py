"""The timeline: one queue, in order of time, of all events outside the nodes.

Devices, producers, networks and faults are not tasks but objects. The loop calls them when their
time has come and no task can run. So a hundred devices cost only what they do, and not what a
hundred sleeping tasks would.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

import trio

_AT_ONCE_MAX: Final = 100_000
"""Events at one time, after which a run is taken to be a busy loop."""

_Event = tuple[float, int, Callable[..., object], tuple[Any, ...]]


class Timeline:
    """See the module. Events of the same time happen in the order in which they were added."""

    def __init__(self) -> None:
        self._events: list[_Event] = []
        self._count = count()
        self._waiting: trio.lowlevel.Task | None = None
        self._is_over = False
        self._error: Exception | None = None
        self.now = 0.0
        """The current time in seconds; Trio's clock shows the same."""

    def at(self, time: float, event: Callable[..., object], *arguments: Any) -> None:
        """Call *event* at *time*, or, if that is past, as soon as no task can run."""
        if not self._is_over:
            heappush(self._events, (time, next(self._count), event, arguments))

    def after(self, delay: float, event: Callable[..., object], *arguments: Any) -> None:
        """Call *event* in *delay* seconds."""
        self.at(self.now + delay, event, *arguments)

    def end(self) -> None:
        """Drop all events; none can be added any more, and `run` returns."""
        self._is_over = True
        self._events.clear()
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Wait until `end`; an exception of an event is raised here."""
        if not self._is_over:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        if self._error is not None:
            raise self._error

    def pass_to(self, time: float) -> None:
        """Let time pass until *time*; no effect if it is past."""
        if time > self.now:
            self.now = time

    def happen(self, before: float) -> bool:
        """Let time pass to the next event *before* a time, and call all events that are then due.

        Returns whether there were any. Called by the loop.
        """
        events, happened = self._events, 0
        if not events or events[0][0] >= before:
            return False
        self.pass_to(events[0][0])
        now = self.now
        try:
            while events and events[0][0] <= now:
                _, _, event, arguments = heappop(events)
                event(*arguments)
                if (happened := happened + 1) > _AT_ONCE_MAX:
                    raise RuntimeError(f"events without end at {now}: the last was {event}")
        except Exception as error:
            # `run` raises it, in the task that waits for the end of the run and cleans up.
            self._error = error
            self.end()
        return True

    async def sleep(self, seconds: float) -> None:
        """As `trio.sleep`, but cheaper: without a deadline or an exception. Returns at the end."""
        if self._is_over:
            await trio.lowlevel.checkpoint()
            return
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
