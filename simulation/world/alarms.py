"""The alarm clock of the nodes' actors, on the timeline: an alarm is an event and needs no task."""

from __future__ import annotations

from collections.abc import Callable

from simulation.world.timeline import Timeline
from tocsin.actors.runtime.alarms import Alarm, AlarmClock


class TimelineAlarms(AlarmClock):
    """See the module."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def set(self, at: float, ring: Callable[[], None]) -> Alarm:
        alarm = Alarm(at, ring)
        self._timeline.at(at, _ring, alarm)
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        alarm.ring = None


def _ring(alarm: Alarm) -> None:
    ring, alarm.ring = alarm.ring, None
    if ring is not None:
        ring()
