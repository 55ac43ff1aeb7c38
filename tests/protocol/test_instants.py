"""Instants as others write them: RFC 3339, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.instants import INSTANT_CHARACTERS_MAX, parse_instant
from tocsin.protocol.values import from_datetime, to_rfc3339

NEW_YEAR_2027 = from_datetime(datetime(2027, 1, 1, tzinfo=UTC))

SAME = {
    "UTC": "2027-01-01T00:00:00Z",
    "lower case": "2027-01-01t00:00:00z",
    "an offset": "2027-01-01T01:00:00+01:00",
    "the other way": "2026-12-31T18:30:00-05:30",
    "UTC of nowhere": "2027-01-01T00:00:00-00:00",
    "the greatest offset": "2027-01-01T23:59:00+23:59",
    "a fraction": "2027-01-01T00:00:00.0Z",
    "a fraction below a millisecond": "2027-01-01T00:00:00.0009999999999999999999Z",
    "a leap second": "2026-12-31T23:59:60Z",
    "a leap second elsewhere": "2027-01-01T05:44:60+05:45",
    "a leap second in the evening": "2026-12-31T18:59:60-05:00",
}
WRONG = {
    "an offset without a colon": "2027-01-01T01:00:00+0100",
    "an offset of hours": "2027-01-01T01:00:00+01",
    "no offset": "2027-01-01T00:00:00",
    "a space": "2027-01-01 00:00:00Z",
    "a comma": "2027-01-01T00:00:00,5Z",
    "an empty fraction": "2027-01-01T00:00:00.Z",
    "no seconds": "2027-01-01T00:00Z",
    "a day only": "2027-01-01",
    "basic format": "20270101T000000Z",
    "a week": "2027-W01-1T00:00:00Z",
    "the hour 24": "2026-12-31T24:00:00Z",
    "the minute 60": "2026-12-31T23:60:00Z",
    "the second 61": "2026-12-31T23:59:61Z",
    "the second 60 at noon": "2026-12-31T12:00:60Z",
    "the second 60 in the middle of a month": "2026-12-15T23:59:60Z",
    "the second 60 at the end of a month elsewhere": "2026-12-31T23:59:60+01:00",
    "the month 0": "2027-00-01T00:00:00Z",
    "the month 13": "2027-13-01T00:00:00Z",
    "the day 0": "2027-01-00T00:00:00Z",
    "the 29th of February": "2027-02-29T00:00:00Z",
    "the 29th of February 2100": "2100-02-29T00:00:00Z",
    "an offset of a day": "2027-01-01T00:00:00+24:00",
    "an offset of 60 minutes": "2027-01-01T00:00:00+01:60",
    "five digits of a year": "12027-01-01T00:00:00Z",
    "a sign": "-2027-01-01T00:00:00Z",
    "other digits": "\uff12027-01-01T00:00:00Z",
    "a line end": "2027-01-01T00:00:00Z\n",
    "a blank in front": " 2027-01-01T00:00:00Z",
    "a number": "1798761600",
    "nothing": "",
    "too long": f"2027-01-01T00:00:00.{'0' * INSTANT_CHARACTERS_MAX}Z",
}


@pytest.mark.parametrize("name", SAME)
def test_one_instant_may_be_written_in_many_ways(name):
    assert parse_instant(SAME[name]) == NEW_YEAR_2027


@pytest.mark.parametrize("name", WRONG)
def test_a_text_that_is_not_of_rfc_3339_is_refused(name):
    with pytest.raises(ValueError, match=r"^(is not a time|has a|names a)"):
        parse_instant(WRONG[name])


@pytest.mark.parametrize(
    "text", ["2028-02-29T23:59:60Z", "2027-02-28T23:59:60Z", "2027-06-30T23:59:60Z"]
)
def test_every_month_may_end_in_a_leap_second(text):
    before = parse_instant(text.replace(":60Z", ":59Z"))
    assert parse_instant(text) == before + 1000


def test_a_leap_second_has_fractions_too():
    assert parse_instant("2026-12-31T23:59:60.25Z") == NEW_YEAR_2027 + 250


def test_the_years_are_those_of_four_digits():
    assert to_rfc3339(parse_instant("9999-12-31T23:59:59.999Z")) == "9999-12-31T23:59:59.999Z"
    # A leap year, in the Gregorian calendar; Python's own begins a year later.
    assert parse_instant("0001-01-01T00:00:00Z") - parse_instant("0000-01-01T00:00:00Z") == (
        366 * 86_400_000
    )
    assert parse_instant("9999-12-31T23:59:59-23:59") > parse_instant("9999-12-31T23:59:59Z")


AWARE = st.datetimes(
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)


@given(AWARE)
def test_an_instant_that_python_writes_is_read_as_it_was_meant(value):
    assert parse_instant(value.isoformat()) == from_datetime(value)


@given(st.integers(from_datetime(datetime(1, 1, 1, tzinfo=UTC)), 253_402_300_799_999))
def test_an_instant_that_was_written_is_read_back(at):
    assert parse_instant(to_rfc3339(at)) == at


@given(st.text(alphabet="0123456789-+:.TtZz ", max_size=40) | st.text(max_size=80))
def test_any_text_is_a_time_or_a_value_error(text):
    try:
        at = parse_instant(text)
    except ValueError:
        return
    assert abs(at) < 1e15
