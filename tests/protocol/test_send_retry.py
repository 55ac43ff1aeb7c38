"""Repeating sends, and pausing a channel."""

from __future__ import annotations

import pytest

from tocsin.protocol.channels.breaker import DELAY_FIRST, DELAY_MAX, Breaker
from tocsin.protocol.channels.send_retry import RETRY_AFTER_MAX, RETRY_DELAYS, retry_delay


def test_a_send_is_tried_again_at_growing_delays_and_then_given_up():
    assert [retry_delay(attempts, None) for attempts in range(1, 7)] == [*RETRY_DELAYS, None]


@pytest.mark.parametrize(
    ("attempts", "asked", "attempts_max", "delay"),
    [
        (1, 30.0, None, 30.0),
        (2, 30.0, None, 60.0),
        (1, 1e9, None, RETRY_AFTER_MAX),
        (1, None, 2, 10.0),
        (2, None, 2, None),
    ],
)
def test_the_other_side_may_ask_for_more_time(attempts, asked, attempts_max, delay):
    assert retry_delay(attempts, asked, attempts_max) == delay


def test_a_channel_in_trouble_is_paused_for_longer_each_time_and_probed_by_one():
    breaker = Breaker()
    assert breaker.room(0.0, 8) == 8

    now, pauses = 0.0, []
    for _ in range(8):
        breaker.trouble(now, "refused")
        breaker.trouble(now, "refused, too")
        assert breaker.room(now, 8) == 0
        pauses.append(breaker.closed_at - now)
        now = breaker.closed_at
        assert breaker.room(now, 8) == 1

    assert pauses == [min(DELAY_MAX, DELAY_FIRST * 2**number) for number in range(8)]
    breaker.passed()
    assert (breaker.is_open, breaker.room(now, 8)) == (False, 8)
    breaker.trouble(now, "refused", asked=60.0)
    assert breaker.closed_at == now + 60.0
