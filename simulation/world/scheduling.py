"""Time and order from a seed: Trio under a virtual clock, and processes that stop and die.

Trio runs its runnable tasks in an order of its own choosing; here the seed chooses. Time moves only
when no task can run, and then straight to the next deadline or the next event of the timeline. So
an hour of waiting costs nothing, and the same seed takes the same steps.

A simulated node is a *process*: all tasks that were started in its context. It can be stopped as by
SIGSTOP between any two steps; deadlines pass meanwhile and are late when it continues. It can be
killed at any step. From then on it has no effect on anything: each of its ways out looks at
`is_dead`, and its host cancels the remaining tasks.

This file alone uses Trio's internals: it puts a loop of its own in the place of Trio's.
"""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeVar
from unittest.mock import patch

import trio
from outcome import Error, Outcome, Value
from trio._core import _run
from trio._core._traps import CancelShieldedCheckpoint, WaitTaskRescheduled

from simulation.world.alarms import TimelineAlarms
from simulation.world.timeline import Timeline
from tocsin.actors.runtime.alarms import set_alarm_clock
from tocsin.actors.runtime.turns import turn_counter

T = TypeVar("T")

_GARBAGE_INTERVAL: Final = 120.0
"""Virtual seconds between two collections of garbage."""
_OLD_GARBAGE: Final = 10
"""One in this many collections looks at all objects; the others at those made since the last."""
_IO_SELDOM: Final = 256
"""Rounds of tasks between two looks for an interrupt by a person (Ctrl-C)."""
_IO_WAIT: Final = 0.001
"""Real seconds to wait for Trio's signal that the run ends, which comes through a socket."""
_ROUNDS_MAX: Final = 100_000
"""Rounds of tasks without any passing of time, after which a run is taken to be a busy loop."""
_IDLE_MAX: Final = 1000
"""Waits in a row with nothing runnable, after which a run is taken to be a deadlock."""

_number_of: Final = attrgetter("_counter")
_process: ContextVar[Process | None] = ContextVar("process", default=None)


class VirtualClock(trio.abc.Clock):
    """A clock that shows the timeline's time; `_Loop` moves it."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def start_clock(self) -> None:
        """Do nothing: time passes only in `_Loop`."""

    def current_time(self) -> float:
        return self._timeline.now

    def deadline_to_sleep_time(self, deadline: float) -> NoReturn:
        """Never called: only Trio's own loop asks for it."""
        raise NotImplementedError


def current_process() -> Process | None:
    """The process whose task or call is running; `None` outside all processes."""
    return _process.get()


class Process:
    """The process of one node; *died* is called once, when it was killed."""

    def __init__(self, name: str, died: Callable[[], None]) -> None:
        self.name = name
        self.is_dead = False
        self.is_stopped = False
        self.steps = 0
        self.kill_at = math.inf
        """The number of the step, from the process's start, before which it dies."""
        self.doom: dict[str, int] = {}
        """By kind of actor: at which of its next messages one of them crashes."""
        self._died = died
        self._tasks: list[trio.lowlevel.Task] = []
        self._calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._context = copy_context()
        self._context.run(_process.set, self)

    def enter(self, call: Callable[..., object], *arguments: Any) -> None:
        """Run *call*, which comes from outside, in this process.

        While the process is stopped the call waits; when it is dead the call is dropped.
        """
        if self.is_stopped:
            self._calls.append((call, arguments))
        elif not self.is_dead:
            self._context.run(call, *arguments)

    def stop(self) -> None:
        """Stop as by SIGSTOP: none of its tasks takes another step."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Continue as by SIGCONT."""
        self.is_stopped = False
        _run.GLOBAL_RUN_CONTEXT.runner.runq.extend(self._tasks)
        calls, self._tasks, self._calls = self._calls, [], []
        for call, arguments in calls:
            self.enter(call, *arguments)

    def kill(self) -> None:
        """Die as by SIGKILL; the remaining tasks must be cancelled, and can affect nothing."""
        if not self.is_dead:
            self.is_dead = True
            self._calls.clear()
            self._died()
        if self.is_stopped:
            self.go_on()

    def spare(self) -> None:
        """Cancel a kill that is due at a later step."""
        self.kill_at = math.inf

    def is_doomed(self, actor: str) -> bool:
        """Whether an *actor* of this kind is to crash at the message that it now has."""
        left = self.doom.pop(actor, 0)
        if left > 1:
            self.doom[actor] = left - 1
        return left == 1

    def may_run(self, task: trio.lowlevel.Task) -> bool:
        """Whether *task* may take its next step now; if not, it is kept for later."""
        self.steps += 1
        if self.steps >= self.kill_at:
            self.kill_at = math.inf
            self.kill()
        if self.is_stopped:
            self._tasks.append(task)
        return not self.is_stopped


class _Loop:
    """Runs the runnable tasks, round after round; time passes when there are none.

    It replaces `trio._core._run.unrolled_run` and handles what tasks yield as that does. Trio's own
    loop would do, with a clock, a run queue, a random generator and an I/O manager of ours. But it
    asks many questions in each round that have only one answer here, and most rounds are one step
    of one task: they would cost a fifteenth of a run.
    """

    def __init__(self, timeline: Timeline, order: random.Random) -> None:
        self._timeline = timeline
        self._order = order
        self._runner = _run.GLOBAL_RUN_CONTEXT.runner
        self._turns = turn_counter()

    def run(self) -> Generator[float, Any, None]:
        """Run until no task is left.

        Yields the seconds to wait for I/O, and is sent the events: only an interrupt by a person,
        and Trio's own signal that the run ends.
        """
        runner, timeline = self._runner, self._timeline
        rounds = idle = moved_at = 0
        moved_to = -math.inf
        while runner.tasks:
            rounds += 1
            if not self._is_runnable():
                idle += 1
                if idle > _IDLE_MAX:
                    raise RuntimeError("all tasks wait and no event is left: a deadlock")
                runner.io_manager.process_events((yield _IO_WAIT))
                continue
            idle = 0
            if rounds % _IO_SELDOM == 0:
                runner.io_manager.process_events((yield 0.0))
            if timeline.now > moved_to:
                moved_to, moved_at = timeline.now, rounds
            elif rounds - moved_at > _ROUNDS_MAX:
                raise RuntimeError(f"tasks are busy without end at {moved_to}")
            self._run_round()

    def _is_runnable(self) -> bool:
        """Let time pass until a task can run; false if no deadline and no event is left."""
        runner, timeline = self._runner, self._timeline
        while not runner.runq:
            deadline = runner.deadlines.next_deadline()
            # An event may call a node outside all rounds; it is a turn of its own.
            self._turns.after_io_wait(0.0)
            if not timeline.happen(before=deadline):
                if deadline == math.inf:
                    return False
                timeline.pass_to(deadline)
                return True
        return True

    def _run_round(self) -> None:
        runner = self._runner
        self._turns.after_io_wait(0.0)
        runner.deadlines.expire(self._timeline.now)
        queue = runner.runq
        if len(queue) == 1:
            # Two rounds of three: one task, and nothing to choose.
            batch = [queue.popleft()]
        else:
            batch = list(queue)
            queue.clear()
            # First in the order of Trio's numbers: where Trio wakes several tasks, it goes through
            # a set, whose order differs from process to process.
            batch.sort(key=_number_of)
            self._order.shuffle(batch)
        while batch:
            task = batch.pop()
            process = task.context.get(_process)
            if process is None or process.may_run(task):
                self._step(task)

    def _step(self, task: trio.lowlevel.Task) -> None:
        runner, context = self._runner, _run.GLOBAL_RUN_CONTEXT
        send, value = task._next_send_fn, task._next_send
        task._next_send_fn = task._next_send = None
        assert send is not None
        outcome: Outcome[object] | None = None
        context.task = task
        try:
            message: Any = task.context.run(send, value)
        except StopIteration as end:
            outcome = Value(end.value)
        except BaseException as error:
            outcome = Error(error)
        if outcome is not None:
            runner.task_exited(task, outcome)
        elif message is CancelShieldedCheckpoint:
            runner.reschedule(task)
        else:
            assert type(message) is WaitTaskRescheduled, f"a task yielded {message!r}"
            task._abort_func = message.abort_func
            if runner.ki_pending and task is runner.main_task:
                task._attempt_delivery_of_pending_ki()
            task._attempt_delivery_of_any_pending_cancel()
        del context.task


class _Nothing:
    """The value `None` for a task that goes on, instead of an `outcome.Value` for each step."""

    def unwrap(self) -> None:
        """Return `None`."""


_NOTHING: Final[Any] = _Nothing()
_NO_SEND: Final[Any] = _run._NO_SEND


def _reschedule(runner: _run.Runner, task: trio.lowlevel.Task, value: Any = _NO_SEND) -> None:
    """`Runner.reschedule` without the questions that have one answer here: it runs in every
    step."""
    assert task._next_send_fn is None, f"{task} was to go on already"
    task._next_send_fn = task.coro.send
    task._next_send = _NOTHING if value is _NO_SEND else value
    task._abort_func = task.custom_sleep_data = None
    runner.runq.append(task)


def tasks_of_processes(only: Process | None = None) -> list[str]:
    """The names of the tasks of *only* this process, or of all processes."""
    tasks = _run.GLOBAL_RUN_CONTEXT.runner.tasks
    owners = ((task.name, task.context.get(_process)) for task in tasks)
    return sorted(name for name, owner in owners if owner is not None and only in (None, owner))


def run(seed: str, timeline: Timeline, main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* under a virtual clock, in the order given by *seed*; then end the timeline."""

    async def with_ours() -> T:
        set_alarm_clock(TimelineAlarms(timeline))
        try:
            return await main()
        finally:
            timeline.end()

    @trio.lowlevel.enable_ki_protection
    def loop(
        runner: _run.Runner, function: Callable[..., Awaitable[object]], arguments: tuple[Any, ...]
    ) -> Generator[float, Any, None]:
        try:
            runner.entry_queue.wakeup.wakeup_on_signals()
            runner.init_task = runner.spawn_impl(
                runner.init, (function, arguments), None, "<init>", system_task=True
            )
            yield from _Loop(timeline, random.Random(seed)).run()
        finally:
            runner.close()
            _run.GLOBAL_RUN_CONTEXT.__dict__.clear()

    with (
        _garbage_at_fixed_times(timeline),
        patch.object(_run, "unrolled_run", loop),
        patch.object(_run.Runner, "reschedule", _reschedule),
        # Asked three times in a step; Trio's own function goes through three others.
        patch.object(trio, "current_time", lambda: timeline.now),
    ):
        return trio.run(with_ours, clock=VirtualClock(timeline))


@contextmanager
def _garbage_at_fixed_times(timeline: Timeline) -> Iterator[None]:
    """Collect garbage at fixed virtual times, and not when there is much of it.

    The amount of garbage depends on what this process did before; and a collection wakes Trio if an
    asynchronous generator was left behind. So a run would depend on the runs before it. Objects
    that exist already are frozen: most are modules, and looking at them would cost more than a
    short run.
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
