"""Time and order that come from a seed: Trio under a virtual clock, and processes that can be hurt.

Trio runs what is runnable in an order of its own choosing. Here a seed chooses, and time only moves
when nothing can run: straight to whatever comes next, a deadline of somebody's or an event of the
timeline. So an hour of waiting costs nothing, and the same seed takes the same steps.

A simulated node is a *process*: all tasks that were started in its context. It can be stopped, as
by SIGSTOP, in the middle of anything; deadlines pass meanwhile, and are late when it goes on. It
can be killed at any step: from then on it has no effect on anybody (`is_dead`, which all its ways
out look at), and whoever keeps it cancels what is left of it.

This file alone knows Trio's internals: the random generator of its scheduler, and its run queue.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import trio
from trio._core import _run

from simulation.timeline import Timeline

T = TypeVar("T")

_process: ContextVar[Process | None] = ContextVar("process", default=None)


class VirtualClock(trio.abc.Clock):
    """Stands still while anything can run; then it is time for what comes next."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._now = 0.0

    def start_clock(self) -> None:
        """Nothing: it stands until somebody waits."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No time at all. Trio asks this only when nothing can run."""
        event = self._timeline.next_time
        if math.isinf(deadline) and math.isinf(event):
            raise RuntimeError("everybody waits, and for nothing: the simulation is deadlocked")
        self._now = max(self._now, min(deadline, event))
        if event <= self._now:
            self._timeline.wake()
        return 0.0


class Process:
    """One node's process; *died* is called once, when it has been killed."""

    def __init__(self, died: Callable[[], None]) -> None:
        self.is_dead = False
        self.is_stopped = False
        self.steps = 0
        self.kill_at = math.inf
        """The step, counted from its start, that it does not take."""
        self._died = died
        self._tasks: list[trio.lowlevel.Task] = []
        self._calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._context = copy_context()
        self._context.run(_process.set, self)

    def enter(self, call: Callable[..., object], *arguments: Any) -> None:
        """Something comes in from outside: nothing happens if it is dead, or not until it runs."""
        if self.is_stopped:
            self._calls.append((call, arguments))
        elif not self.is_dead:
            self._context.run(call, *arguments)

    def stop(self) -> None:
        """As SIGSTOP: none of its tasks takes another step."""
        self.is_stopped = True

    def go_on(self) -> None:
        """As SIGCONT."""
        self.is_stopped = False
        _run.GLOBAL_RUN_CONTEXT.runner.runq.extend(self._tasks)
        calls, self._tasks, self._calls = self._calls, [], []
        for call, arguments in calls:
            self.enter(call, *arguments)

    def kill(self) -> None:
        """As SIGKILL. What is left of it must be cancelled, and has no effect on anybody."""
        if not self.is_dead:
            self.is_dead = True
            self._calls.clear()
            self._died()
        if self.is_stopped:
            self.go_on()

    def may_run(self, task: trio.lowlevel.Task) -> bool:
        """Whether *task* takes its next step now; else it is kept."""
        self.steps += 1
        if self.steps >= self.kill_at:
            self.kill_at = math.inf
            self.kill()
        if self.is_stopped:
            self._tasks.append(task)
        return not self.is_stopped


class _RunQueue(deque[trio.lowlevel.Task]):
    """Trio's run queue, without the tasks of stopped processes."""

    def append(self, task: trio.lowlevel.Task) -> None:
        process = task.context.get(_process)
        if process is None or process.may_run(task):
            super().append(task)


def run(seed: str, timeline: Timeline, main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* under a virtual clock, in the order that *seed* gives."""

    async def with_our_queue() -> T:
        _run.GLOBAL_RUN_CONTEXT.runner.runq = _RunQueue(_run.GLOBAL_RUN_CONTEXT.runner.runq)
        return await main()

    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r = random.Random(seed)
    try:
        return trio.run(with_our_queue, clock=VirtualClock(timeline))
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r = before  # type: ignore[misc]
