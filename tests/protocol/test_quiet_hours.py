"""Quiet hours, over midnight and over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.channels.quiet_hours import QuietHours, check_quiet_hours, quiet_until
from tocsin.protocol.refusal import Refused

BERLIN = QuietHours("22:00", "07:00", "Europe/Berlin")
ZONES = (
    *("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Etc/UTC"),
)
clock_times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))


def minutes(clock: str) -> int:
    hours, _, rest = clock.partition(":")
    return int(hours) * 60 + int(rest)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-09T21:59:59+01:00", None),
        ("2026-03-09T22:00:00+01:00", "2026-03-10T07:00:00+01:00"),
        ("2026-03-10T06:59:59+01:00", "2026-03-10T07:00:00+01:00"),
        ("2026-03-10T07:00:00+01:00", None),
        # The night of 29 March is an hour shorter, that of 25 October an hour longer.
        ("2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00"),
        ("2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"),
    ],
)
def test_they_wrap_over_midnight_in_the_zone_of_the_person(now, until):
    assert quiet_until(BERLIN, at(now)) == (None if until is None else at(until))


def test_they_may_be_within_a_day():
    siesta = QuietHours("13:00", "15:00", "Europe/Madrid")

    assert quiet_until(siesta, at("2026-07-01T12:59:59+02:00")) is None
    assert quiet_until(siesta, at("2026-07-01T13:30:00+02:00")) == at("2026-07-01T15:00:00+02:00")


def test_a_time_that_does_not_exist_is_the_next_that_does():
    ends_in_the_gap = QuietHours("22:00", "02:30", "Europe/Berlin")
    begins_in_the_gap = QuietHours("02:30", "06:00", "Europe/Berlin")
    change = at("2026-03-29T03:00:00+02:00")

    assert quiet_until(ends_in_the_gap, at("2026-03-29T01:59:00+01:00")) == change
    assert quiet_until(ends_in_the_gap, change) is None
    assert quiet_until(begins_in_the_gap, change - 1) is None
    assert quiet_until(begins_in_the_gap, change) == at("2026-03-29T06:00:00+02:00")


def test_of_a_time_that_comes_twice_they_take_in_both():
    ends_twice = QuietHours("22:00", "02:30", "Europe/Berlin")
    begins_twice = QuietHours("02:30", "06:00", "Europe/Berlin")

    assert quiet_until(ends_twice, at("2026-10-25T02:29:00+02:00")) == at(
        "2026-10-25T02:30:00+01:00"
    )
    assert quiet_until(begins_twice, at("2026-10-25T02:30:00+02:00")) == at(
        "2026-10-25T06:00:00+01:00"
    )


def test_they_hold_for_the_channels_that_are_named():
    assert BERLIN.covers("email")
    named = QuietHours("22:00", "07:00", "Europe/Berlin", ["email"])
    assert (named.covers("email"), named.covers("webpush")) == (True, False)


@pytest.mark.parametrize(
    "quiet",
    [
        QuietHours("22:00", "22:00", "Europe/Berlin"),
        QuietHours("22:00", "07:00", "Europe/Atlantis"),
        QuietHours("22:00", "07:00", "Europe"),
        QuietHours("22:00", "07:00", "../../etc/passwd"),
    ],
)
def test_hours_without_a_length_and_unknown_zones_are_refused(quiet):
    with pytest.raises(Refused):
        check_quiet_hours(quiet)


@given(
    begin=clock_times,
    end=clock_times,
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2009, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_they_end_and_it_is_not_quiet_at_their_end(begin, end, zone, now):
    quiet = QuietHours(begin, end, zone)
    now_ms = round(now.timestamp() * 1000)
    until = quiet_until(quiet, now_ms)

    if until is None or begin == end:
        return
    assert now_ms < until <= now_ms + 26 * 3_600_000
    # At the end the wall shows the time of the end, or the first that there is after it.
    shown = datetime.fromtimestamp(until / 1000, ZoneInfo(zone))
    assert shown.strftime("%H:%M") >= end or shown.strftime("%H:%M") == "00:00"
    if quiet_until(quiet, until) is not None:
        # The next span begins at once: only where a change of the clocks lies between the two.
        assert (minutes(begin) - minutes(end)) % 1440 <= 120
