"""Quiet hours: a span of each day, in a person's own time zone, in which channels are silent.

The span may wrap over midnight. It is computed from wall time for the days around now, so a change
of the clocks lengthens or shortens it as it does the night: a time that does not exist is the next
that does; of a time that comes twice, the span begins at the first and ends at the second.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from tocsin.protocol.channels.escalation import ChannelName
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import refuse

_CHANNELS_MAX: Final = 32
"""Channels that a span may name: more than an operator configures."""
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)")]
ZoneName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$(?!\n)", max_length=64)
]
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)


class QuietHours(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}
):
    """From *begin* to *end* in *timezone*; for the *channels* that are named, else for all."""

    begin: ClockTime
    end: ClockTime
    timezone: ZoneName
    channels: Annotated[list[ChannelName], Meta(max_length=_CHANNELS_MAX)] | None = None

    def covers(self, channel: str) -> bool:
        """Whether the quiet hours hold for *channel*."""
        return self.channels is None or channel in self.channels


def check_quiet_hours(quiet: QuietHours) -> None:
    """Raise `Refused` if *quiet* is empty or its zone is unknown here."""
    if quiet.begin == quiet.end:
        wrong = [FieldError("$.quiet.to", "is the same as `from`")]
        raise refuse("invalid", "Quiet hours begin and end at different times.", wrong)
    try:
        ZoneInfo(quiet.timezone)
    except (KeyError, ValueError, OSError):
        wrong = [FieldError("$.quiet.timezone", "is not in the IANA time zone database")]
        raise refuse("invalid", "The time zone is unknown.", wrong) from None


def quiet_until(quiet: QuietHours, now_ms: int) -> int | None:
    """When (Unix ms) the quiet hours end that *now_ms* is in; `None` if it is in none."""
    zone = ZoneInfo(quiet.timezone)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    today = now.astimezone(zone).date()
    begin, end = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end)
    for day in (today - _DAY, today):
        since = _instant(day, begin, zone, fold=0)
        until = _instant(day + _DAY if end <= begin else day, end, zone, fold=1)
        if since <= now < until:
            return round(until.timestamp() * 1000)
    return None


def _instant(day: date, at: time, zone: ZoneInfo, fold: int) -> datetime:
    """The moment of a wall time, in UTC."""
    wall = datetime.combine(day, at, zone)
    earlier = wall.replace(fold=1).astimezone(UTC)
    later = wall.replace(fold=0).astimezone(UTC)
    if earlier >= later:
        # It exists, once or twice. (PEP 495: in a gap the fold counts the other way round.)
        return wall.replace(fold=fold).astimezone(UTC)
    offset = earlier.astimezone(zone).utcoffset()
    while later - earlier > _MINUTE:
        middle = earlier + (later - earlier) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            earlier = middle
        else:
            later = middle
    return later.replace(second=0, microsecond=0)
