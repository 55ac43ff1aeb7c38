"""The pace of group commits, as arithmetic."""

import pytest

from tocsin.actors.pace import Pace


def after(count: int) -> Pace:
    """The pace after a transaction of *count* commands, at 0."""
    pace = Pace()
    pace.came(0.0, first=True)
    pace.went(count)
    return pace


def test_who_comes_alone_goes_at_once():
    pace = Pace()
    for now in (0.0, 0.5, 0.6, 10.0):
        pace.came(now, first=True)
        assert pace.due <= now
        pace.went(1)


def test_after_a_crowd_a_quiet_moment_is_waited_for():
    pace = after(1000)
    pace.came(0.0, first=True)
    pace.came(0.005, first=False)

    assert pace.due == pytest.approx(0.013)


def test_the_first_of_a_crowd_waits_only_so_long():
    pace = after(1000)
    for number in range(100):
        pace.came(number * 0.001, first=number == 0)

    assert pace.due == pytest.approx(0.040)


def test_a_few_wait_less_than_many():
    pace = after(3)
    pace.came(0.0, first=True)

    assert pace.due == pytest.approx(0.002)


def test_a_crowd_is_forgotten_by_and_by():
    pace = after(1000)
    for number in range(12):
        now = 0.1 * number
        pace.came(now, first=True)
        pace.went(1)

    pace.came(2.0, first=True)
    assert pace.due <= 2.0


def test_a_crowd_of_long_ago_is_forgotten():
    pace = after(1000)
    pace.came(1.5, first=True)

    assert pace.due <= 1.5
