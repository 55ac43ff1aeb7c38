"""Instants as others write them: RFC 3339 §5.6, exactly, into Unix milliseconds.

Everything that a time is given in from outside is read here. Taken is what the grammar of
`date-time` allows: `T` and `Z` in either case, any offset that is written with a colon, any number
of digits of a fraction (of which milliseconds are kept, never rounded up), the years 0000 to 9999,
and the second 60 where a leap second may be. Not taken is what only other notations allow: a space
in the place of `T` (the RFC lets applications agree on one; we do not), `+0100`, a missing offset.

Leap seconds are announced half a year ahead, so any month is taken to end in one (ITU-R TF.460).
Unix time has no place for it: 23:59:60Z is the first second of the next day.
"""

from __future__ import annotations

import re
from typing import Final

INSTANT_CHARACTERS_MAX: Final = 64
"""Room for 44 digits of a fraction: more than any clock gives."""

INSTANT_PATTERN: Final = (
    r"^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$(?!\n)"
)
"""The grammar alone; days and times that do not exist are refused by `parse_instant`."""
INSTANT_NOTATION: Final = "a time as in RFC 3339, such as 2030-01-31T12:00:00Z or …+01:00"
_DATE_TIME: Final = re.compile(INSTANT_PATTERN)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of the months of a common year
_DAY: Final = 86_400
"""Seconds; Unix time has no leap seconds."""
_NO_LEAP_SECOND: Final = "has a second 60 that ends no month in UTC, so it is no leap second"


def parse_instant(text: str) -> int:
    """*text* as Unix milliseconds; raises `ValueError` that says what is wrong with it."""
    match = _DATE_TIME.fullmatch(text) if len(text) <= INSTANT_CHARACTERS_MAX else None
    if match is None:
        raise ValueError(f"is not {INSTANT_NOTATION}")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month)):
        raise ValueError("names a day that there is not")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("names a time of day that there is not")
    offset = 0
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("has an offset of more than 23:59")
        offset = (int(offset_hour) * 60 + int(offset_minute)) * (-60 if sign == "-" else 60)
    at = _days_before(year, month, day) * _DAY + hour * 3600 + minute * 60 + second - offset
    if second == 60 and not _begins_a_month(at):
        raise ValueError(_NO_LEAP_SECOND)
    return at * 1000 + int((fraction or "")[:3].ljust(3, "0"))


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return 29 if month == 2 and _is_leap(year) else _DAYS[month - 1]


def _days_before(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, in the Gregorian calendar however early (RFC 3339 has a year 0000)."""
    # Counted from March, so that the day that a leap year has more is its last.
    if month <= 2:
        year, month = year - 1, month + 12
    era_days = year * 365 + year // 4 - year // 100 + year // 400
    return era_days + (153 * (month - 3) + 2) // 5 + day - 1 - 719_468


def _begins_a_month(at: int) -> bool:
    """Whether *at* (Unix seconds) is the first second of a month in UTC."""
    days, rest = divmod(at, _DAY)
    if rest:
        return False
    # The Gregorian calendar repeats itself after 400 years.
    days %= 146_097
    year = 1970 + days * 400 // 146_097
    return any(
        days == _days_before(near, month, 1)
        for near in (year - 1, year, year + 1)
        for month in range(1, 13)
    )
