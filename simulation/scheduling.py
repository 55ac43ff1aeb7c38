"""Time and order that come from a seed: Trio under a virtual clock, and processes that can be hurt.

Trio runs what is runnable in an order of its own choosing. Here a seed chooses, and time only moves
when nothing can run: straight to whatever comes next, a deadline of somebody's or an event of the
timeline. So an hour of waiting costs nothing, and the same seed takes the same steps.

A simulated node is a *process*: all tasks that were started in its context. It can be stopped, as
by SIGSTOP, in the middle of anything; deadlines pass meanwhile, and are late when it goes on. It
can be killed at any step: from then on it has no effect on anybody (`is_dead`, which all its ways
out look at), and whoever keeps it cancels what is left of it.

This file alone knows Trio's internals: the random generator of its scheduler, its run queue and
its I/O.
"""

from __future__ import annotations

import gc
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

import trio
from trio._core import _run

from simulation.alarms import TimelineAlarms
from simulation.timeline import Timeline
from tocsin.actors.runtime.alarms import set_alarm_clock

T = TypeVar("T")

_GARBAGE_INTERVAL: Final = 120.0
"""Virtual seconds."""
_OLD_GARBAGE: Final = 10
"""Of so many collections, one looks at everything: the others at what is new since the last."""
_IO_SELDOM: Final = 256
_ROUNDS_MAX: Final = 100_000
"""Rounds of tasks in which no time passes."""
_IDLE_MAX: Final = 1000
"""Looks in a row, a millisecond each, at which nobody waits for any time."""

_process: ContextVar[Process | None] = ContextVar("process", default=None)


class VirtualClock(trio.abc.Clock):
    """Stands still while anything can run; then it is time for what comes next."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._idle = 0

    def start_clock(self) -> None:
        """Nothing: it stands until somebody waits."""

    def current_time(self) -> float:
        return self._timeline.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No time at all. Trio asks this only when nothing can run."""
        runner, timeline = _run.GLOBAL_RUN_CONTEXT.runner, self._timeline
        while timeline.next_time < deadline:
            timeline.happen()
            if runner.runq:
                self._idle = 0
                return 0.0
            deadline = runner.deadlines.next_deadline()
        if deadline == math.inf:
            return self._wait_for_trio()
        timeline.pass_to(deadline)
        return 0.0

    def _wait_for_trio(self) -> float:
        # Trio wakes itself through a socket when it ends: that is not there at once.
        self._idle += 1
        if self._idle > _IDLE_MAX:
            raise RuntimeError("everybody waits, and for nothing: the simulation is deadlocked")
        return 0.001


def current_process() -> Process | None:
    """Whose task or call is running."""
    return _process.get()


class Process:
    """One node's process; *died* is called once, when it has been killed."""

    def __init__(self, name: str, died: Callable[[], None]) -> None:
        self.name = name
        self.is_dead = False
        self.is_stopped = False
        self.steps = 0
        self.kill_at = math.inf
        """The step, counted from its start, that it does not take."""
        self.doom: dict[str, int] = {}
        """By kind of actor: at which message from now one of them fails."""
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

    def spare(self) -> None:
        """It is not killed after all."""
        self.kill_at = math.inf

    def is_doomed(self, actor: str) -> bool:
        """Whether the *actor* that now has a message is the one to fail."""
        left = self.doom.pop(actor, 0)
        if left > 1:
            self.doom[actor] = left - 1
        return left == 1

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


class _SeldomIO:
    """Trio's I/O manager, asked once in a while: there is no I/O but an interrupt by a person.

    Being called once for each round of tasks, it also notices when they go on for ever.
    """

    def __init__(self, real: Any, timeline: Timeline) -> None:
        self._real = real
        self._timeline = timeline
        self._asked = 0
        self._now = -math.inf
        self._moved_at = 0

    def get_events(self, timeout: float) -> Any:
        self._asked += 1
        if (now := self._timeline.now) > self._now:
            self._now, self._moved_at = now, self._asked
        elif self._asked - self._moved_at > _ROUNDS_MAX:
            raise RuntimeError(f"tasks are busy without end at {now}")
        if timeout or self._asked % _IO_SELDOM == 0:
            return self._real.get_events(timeout)
        return ()

    def process_events(self, events: Any) -> None:
        if events:
            self._real.process_events(events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def tasks_of_processes(only: Process | None = None) -> list[str]:
    """The names of all tasks that belong to some process, or to this one."""
    tasks = _run.GLOBAL_RUN_CONTEXT.runner.tasks
    owners = ((task.name, task.context.get(_process)) for task in tasks)
    return sorted(name for name, owner in owners if owner is not None and only in (None, owner))


def run(seed: str, timeline: Timeline, main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* under a virtual clock, in the order that *seed* gives."""

    async def with_ours() -> T:
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        runner.runq = _RunQueue(runner.runq)
        # Trio declares what it uses by platform.
        io_manager: Any = _SeldomIO(runner.io_manager, timeline)
        runner.io_manager = io_manager
        set_alarm_clock(TimelineAlarms(timeline))
        return await main()

    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r = random.Random(seed)
    with _garbage_at_fixed_times(timeline):
        try:
            return trio.run(with_ours, clock=VirtualClock(timeline))
        finally:
            _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r = before  # type: ignore[misc]


@contextmanager
def _garbage_at_fixed_times(timeline: Timeline) -> Iterator[None]:
    """Collect garbage when it is time, and not when there is much of it.

    How much there is depends on what this process did before; and collecting wakes Trio, where an
    asynchronous generator was left behind. What was there before is never looked at again: modules,
    mostly, and looking would cost more than a short run.
    """

    def collect(number: int) -> None:
        gc.collect(2 if number % _OLD_GARBAGE == 0 else 1)
        timeline.after(_GARBAGE_INTERVAL, collect, number + 1)

    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    timeline.at(_GARBAGE_INTERVAL, collect, 1)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
