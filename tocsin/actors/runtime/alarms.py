"""Wakes the tasks that wait at mailboxes and bells, at their deadlines.

`trio.move_on_at` around every wait would do, at three times the price of the wait itself: nearly
always a message comes first, and then a cancel scope was made for nothing. Here an alarm that was
set for an earlier wait stays set, and a later wait whose deadline is not earlier costs nothing. So
an alarm may ring too early, never too late: the woken task looks at the clock and sets the next
one.

One task does this for all of a Trio run. It is a system task: no nursery owns it, and it ends with
the run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

import trio

_DEAD_MAX: Final = 1000
"""Cancelled alarms kept until their time; more are thrown out once they are the majority."""


class Alarm:
    """Calls *ring* once, *at* its Trio time, unless cancelled."""

    __slots__ = ("at", "ring")

    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self.at = at
        self.ring: Callable[[], None] | None = ring

    def __lt__(self, other: Alarm) -> bool:
        return self.at < other.at


class AlarmClock:
    """All alarms of one Trio run; see the module."""

    def __init__(self) -> None:
        self._alarms: list[Alarm] = []
        self._dead = 0
        self._sleep = trio.CancelScope()

    def set(self, at: float, ring: Callable[[], None]) -> Alarm:
        """Have *ring* called at *at* (Trio time); it must not block or raise."""
        alarm = Alarm(at, ring)
        heapq.heappush(self._alarms, alarm)
        if self._alarms[0] is alarm:
            self._sleep.deadline = at
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """See that *alarm* does not ring; no effect on one that has rung."""
        if alarm.ring is None:
            return
        alarm.ring = None
        self._dead += 1
        if self._dead > max(_DEAD_MAX, len(self._alarms) // 2):
            self._alarms = [alarm for alarm in self._alarms if alarm.ring is not None]
            heapq.heapify(self._alarms)
            self._dead = 0

    async def run(self) -> None:
        """Ring the alarms that are due, for ever; cancel it to end."""
        while True:
            self._drop_dead()
            first = self._alarms[0].at if self._alarms else math.inf
            with trio.CancelScope(deadline=first) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            while self._alarms and self._alarms[0].at <= now:
                alarm = heapq.heappop(self._alarms)
                ring, alarm.ring = alarm.ring, None
                if ring is None:
                    self._dead -= 1
                else:
                    ring()

    def _drop_dead(self) -> None:
        """Forget the cancelled alarms before the next that will ring: to wake for one of them costs
        as much as for that."""
        while self._alarms and self._alarms[0].ring is None:
            heapq.heappop(self._alarms)
            self._dead -= 1

    def __len__(self) -> int:
        return len(self._alarms)


_clock: Final = trio.lowlevel.RunVar[AlarmClock]("alarm clock")


def set_alarm_clock(clock: AlarmClock) -> None:
    """Have *clock* wake the tasks of this Trio run; to be called before the first of them waits."""
    _clock.set(clock)


def alarm_clock() -> AlarmClock:
    """The alarm clock of this Trio run."""
    try:
        return _clock.get()
    except LookupError:
        clock = AlarmClock()
        _clock.set(clock)
        trio.lowlevel.spawn_system_task(clock.run, name="alarm clock")
        return clock
