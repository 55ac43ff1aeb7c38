"""Histograms: every value is counted once, under the smallest bound that holds it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.actors.runtime.histogram import SECONDS, SIZES, Exemplar, Histogram

values = st.lists(st.floats(0, 100, allow_nan=False))


@given(values)
def test_each_bound_counts_the_values_up_to_it(observed):
    histogram = Histogram()
    for value in observed:
        histogram.observe(value)
    for bound, count in histogram.cumulative():
        assert count == sum(value <= bound for value in observed)
    assert histogram.count == len(observed)
    assert abs(histogram.total - sum(observed)) < 1e-6


def test_a_bound_keeps_its_last_exemplar():
    histogram = Histogram((0.1, 1.0))
    for value, trace in ((0.05, "a"), (0.1, "b"), (5.0, "c")):
        histogram.exemplify(value, trace, 7.0)
    assert histogram.exemplars == {
        0.1: Exemplar(0.1, "b", 7.0),
        float("inf"): Exemplar(5.0, "c", 7.0),
    }
    assert histogram.count == 0, "it was observed elsewhere"


def test_bounds_rise():
    for bounds in (SECONDS, SIZES):
        assert list(bounds) == sorted(set(bounds))
