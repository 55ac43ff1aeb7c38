"""How long a connection is waited for, without a cancel scope for each wait.

A connection waits in turn for a head, a body and the next request, each with a deadline of its own,
and nearly always what it waits for comes first. One scope for all of its life is cancelled by an
alarm; the alarm that was set for an earlier wait stays set, and looks when it rings.
"""

from __future__ import annotations

import math

import trio

from tocsin.actors.runtime.alarms import Alarm, alarm_clock


class Patience:
    """Cancels *scope* when the deadline of the moment (Trio time) has passed; `end` it."""

    __slots__ = ("_alarm", "_deadline", "_scope")

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._deadline = math.inf
        self._alarm: Alarm | None = None

    def until(self, deadline: float) -> None:
        """From now on it is *deadline* that counts; `math.inf` is for ever."""
        self._deadline = deadline
        if deadline < math.inf and (self._alarm is None or self._alarm.at > deadline):
            self._set(deadline)

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._deadline = math.inf
        if self._alarm is not None:
            alarm_clock().cancel(self._alarm)
            self._alarm = None

    def _set(self, deadline: float) -> None:
        if self._alarm is not None:
            alarm_clock().cancel(self._alarm)
        self._alarm = alarm_clock().set(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._deadline <= trio.current_time():
            self._scope.cancel()
        elif self._deadline < math.inf:
            self._set(self._deadline)
