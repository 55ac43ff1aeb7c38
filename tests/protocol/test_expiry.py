"""When a session's token has ended."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.delivery.expiry import Expiry

moments = st.integers(0, 10_000_000)


def test_a_token_without_an_end_is_never_looked_at():
    expiry = Expiry(None, 25.0)
    expiry.look(5.0, 10**15)
    assert expiry.next_look == math.inf
    assert not expiry.has_passed(10**15)


def test_a_token_ends_at_the_very_millisecond():
    expiry = Expiry(1000, 25.0)
    assert not expiry.has_passed(999)
    assert expiry.has_passed(1000)


def test_a_new_one_is_looked_at_at_once():
    assert Expiry(1000, 25.0).next_look == -math.inf


def test_the_end_is_looked_for_when_it_is_due_and_once_in_an_interval():
    expiry = Expiry(100_000, 25.0)
    for now, now_ms, look in ((7.0, 0, 32.0), (7.0, 90_000, 17.0), (7.0, 100_000, 7.0)):
        expiry.look(now, now_ms)
        assert expiry.next_look == look


@given(moments, st.lists(st.tuples(st.floats(0, 100), moments), min_size=1))
def test_the_next_look_is_near_and_comes_with_any_clocks(ends_at, looks):
    expiry, now = Expiry(ends_at, 25.0), 0.0
    for passed, now_ms in looks:
        now += passed
        expiry.look(now, now_ms)
        assert now <= expiry.next_look <= now + 25.0
        # Never again at once, or an actor would spin.
        assert expiry.has_passed(now_ms) or expiry.next_look > now
