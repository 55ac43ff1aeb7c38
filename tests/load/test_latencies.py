"""Quantiles from counters: within two per cent of what sorting all times would give."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.load.latencies import Latencies

times = st.lists(st.floats(1e-4, 100.0), min_size=1, max_size=200)


@given(times, st.sampled_from([0.01, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_quantile_is_that_of_the_sorted_times(values, share):
    latencies = Latencies()
    for value in values:
        latencies.note(value)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    found = latencies.quantile(share)
    assert found == pytest.approx(exact, rel=0.021)
    assert found is not None
    assert found <= latencies.greatest


def test_no_times_have_no_quantile():
    assert Latencies().quantile(0.5) is None


def test_a_million_times_take_a_few_hundred_counters():
    latencies = Latencies()
    for number in range(100_000):
        latencies.note(1e-4 * (1 + number % 10_000))
    assert latencies.count == 100_000
    assert len(latencies._counts) < 500
