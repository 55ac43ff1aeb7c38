"""Where one task waits until it is woken, or for a deadline: a mailbox, or a bell.

The deadline is an alarm and not a cancel scope, which would cost three times what the wait itself
does (see `alarms`). So a task may be woken too early, never too late, and has to look again.
"""

from __future__ import annotations

import math

import trio

from tocsin.actors.runtime.alarms import Alarm, alarm_clock


class WaitingPlace:
    """See the module. A waiting task calls `_enter`, and then `wait_task_rescheduled` itself: a
    method that did both would cost each message a coroutine more."""

    __slots__ = ("_alarm", "_waiting")

    def __init__(self) -> None:
        self._alarm: Alarm | None = None
        self._waiting: trio.lowlevel.Task | None = None

    def _enter(self, deadline: float) -> None:
        """The current task is to be woken, no later than at *deadline* (Trio time)."""
        if deadline < math.inf:
            self._set_alarm(deadline)
        assert self._waiting is None, "one task waits here"
        self._waiting = trio.lowlevel.current_task()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    def _set_alarm(self, deadline: float) -> None:
        if self._alarm is not None:
            if self._alarm.at <= deadline:
                return
            alarm_clock().cancel(self._alarm)
        self._alarm = alarm_clock().set(deadline, self._ring)

    def _forget_alarm(self) -> None:
        if self._alarm is not None:
            alarm_clock().cancel(self._alarm)
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self._wake()


def has_passed(deadline: float) -> bool:
    """Whether it is *deadline* (Trio time), or later."""
    return deadline < math.inf and deadline <= trio.current_time()
