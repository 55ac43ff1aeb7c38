"""Delays grow, are spread, and have a cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.backoff import Backoff

BACKOFF = Backoff(initial=10.0, cap=60.0)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)])
def test_each_attempt_doubles_the_delay_up_to_the_cap(attempt, seconds):
    assert BACKOFF.delay(attempt, 0.5) == pytest.approx(seconds)


def test_the_delay_is_spread_by_a_fifth_both_ways():
    assert BACKOFF.delay(1, 0.0) == pytest.approx(8.0)
    assert BACKOFF.delay(1, 0.999_999) == pytest.approx(12.0, rel=1e-5)


def test_a_first_delay_beyond_the_cap_is_the_cap():
    assert Backoff(initial=100.0, cap=30.0).delay(1, 0.5) == pytest.approx(30.0)


@pytest.mark.parametrize(("initial", "first"), [(10.0, 10.0), (100.0, 60.0)])
def test_the_first_delay_without_its_spread_is_known_and_capped(initial, first):
    assert Backoff(initial, cap=60.0).first == first


@given(st.integers(1, 10**30), st.floats(0.0, 1.0, exclude_max=True), st.floats(1e-3, 1e6))
def test_any_attempt_has_a_delay_between_the_first_and_the_cap(attempt, jitter, initial):
    delay = Backoff(initial, cap=initial * 50).delay(attempt, jitter)
    assert 0.8 * initial <= delay * 1.000_001
    assert delay <= 1.2 * 50 * initial * 1.000_001


@given(st.integers(1, 100), st.floats(0.0, 1.0, exclude_max=True))
def test_a_later_attempt_never_waits_less(attempt, jitter):
    assert BACKOFF.delay(attempt, jitter) <= BACKOFF.delay(attempt + 1, jitter)
