"""What happens outside the nodes, in order of time: one queue of events.

Devices, producers, networks and faults are no tasks but objects that are called when their time has
come, by the clock, when nothing else can be done. A hundred devices then cost what they do, and not
what a hundred sleeping tasks would.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

import trio

_AT_ONCE_MAX: Final = 100_000
"""Events that happen at one time."""

_Event = tuple[float, int, Callable[..., object], tuple[Any, ...]]


class Timeline:
    """See the module. Events of the same time happen in the order in which they were asked for."""

    def __init__(self) -> None:
        self._events: list[_Event] = []
        self._count = count()
        self._waiting: trio.lowlevel.Task | None = None
        self._is_over = False
        self._error: Exception | None = None
        self.now = 0.0
        """The time, which is Trio's."""

    def at(self, time: float, event: Callable[..., object], *arguments: Any) -> None:
        """Have *event* called at *time*, or as soon as nothing else can be done if that is past."""
        if not self._is_over:
            heappush(self._events, (time, next(self._count), event, arguments))

    def after(self, delay: float, event: Callable[..., object], *arguments: Any) -> None:
        """Have *event* called in *delay* seconds."""
        self.at(self.now + delay, event, *arguments)

    def end(self) -> None:
        """Nothing more happens."""
        self._is_over = True
        self._events.clear()
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Wait until `end`; what an event raised is raised here."""
        if not self._is_over:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        if self._error is not None:
            raise self._error

    def pass_to(self, time: float) -> None:
        """Let time pass; it never goes back."""
        if time > self.now:
            self.now = time

    def happen(self, before: float) -> bool:
        """Let time pass to what comes next, if that is *before* a time, and have it happen; whether
        there was anything. Called by the loop."""
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
            # It comes out where the run waits for its end, and everything is then put away.
            self._error = error
            self.end()
        return True

    async def sleep(self, seconds: float) -> None:
        """As `trio.sleep`, for less: no deadline, no exception. No time passes after the end."""
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
