"""The token buckets of a WebSocket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames.frames import WINDOW_MAX
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.pace import Pace, PaceLimits, device_pace, producer_pace

LIMITS = PaceLimits(frames=10, bytes=1000, frames_burst=20, bytes_burst=3000)


def test_so_much_may_be_said_at_once_and_not_more():
    pace = Pace(LIMITS, 0)
    pace.spend(20, 100, 0)
    with pytest.raises(Ended) as caught:
        pace.spend(1, 1, 0)
    assert caught.value.refusal.closing is Closing.RATE_LIMITED
    assert caught.value.refusal.after > 0
    assert "20 frames at once, or 10 a second" in caught.value.refusal.detail


def test_bytes_are_bounded_as_frames_are():
    pace = Pace(LIMITS, 0)
    pace.spend(1, 3000, 0)
    with pytest.raises(Ended) as caught:
        pace.spend(1, 1, 0)
    assert "3000 bytes at once, or 1000 a second" in caught.value.refusal.detail


def test_a_client_at_the_pace_may_go_on_for_ever():
    pace = Pace(LIMITS, 0)
    for second in range(1000):
        pace.spend(10, 1000, second + 1)


def test_silence_fills_the_buckets_and_no_more():
    pace = Pace(LIMITS, 0)
    pace.spend(20, 0, 0)
    pace.spend(20, 0, 1000)
    with pytest.raises(Ended):
        pace.spend(1, 0, 1000)


def test_a_push_entitles_to_an_answer_however_fast_they_come():
    pace = Pace(PaceLimits(0, 0, 4, 4), 0)
    for _ in range(10_000):
        pace.entitle()
        pace.spend(1, 80, 0)


def test_the_largest_window_may_be_answered_at_once_by_who_has_said_all_else():
    pace = Pace(device_pace(200, 1 << 20), 0)
    for _ in range(WINDOW_MAX):
        pace.entitle()
    pace.spend(WINDOW_MAX, WINDOW_MAX * 80, 0)
    pace.spend(1000, 1000, 0)
    with pytest.raises(Ended):
        pace.spend(1, 1, 0)


def test_pushes_that_are_not_answered_entitle_to_no_flood():
    pace = Pace(PaceLimits(0, 0, 4, 4), 0)
    for _ in range(100_000):
        pace.entitle()
    pace.spend(WINDOW_MAX, 0, 0)
    pace.spend(4, 0, 0)
    with pytest.raises(Ended):
        pace.spend(1, 0, 0)


def test_it_is_strained_beyond_half_of_what_may_be_said_at_once():
    pace = Pace(LIMITS, 0)
    pace.spend(10, 1500, 0)
    strained = [pace.is_strained]
    pace.spend(1, 0, 0)
    strained.append(pace.is_strained)
    pace.become(LIMITS, 0)
    strained.append(pace.is_strained)
    assert strained == [False, True, False]


def test_a_producer_may_say_more_than_a_device():
    device, producer = device_pace(200, 1 << 20), producer_pace(200, 1 << 20)
    assert (device.frames, device.frames_burst) == (200, 1000)
    assert producer.frames > device.frames
    assert producer.bytes_burst > device.bytes_burst


@given(
    st.lists(
        st.tuples(st.floats(0, 5, allow_subnormal=False), st.integers(0, 30), st.integers(0, 4000)),
        max_size=30,
    )
)
def test_in_no_time_is_more_said_than_the_burst_and_the_rate(said):
    pace, now, frames, bytes_ = Pace(LIMITS, 0), 0.0, 0, 0
    for passed, count, size in said:
        now += passed
        try:
            pace.spend(count, size, now)
        except Ended:
            return
        frames, bytes_ = frames + count, bytes_ + size
        assert frames <= LIMITS.frames_burst + LIMITS.frames * now + 1e-6
        assert bytes_ <= LIMITS.bytes_burst + LIMITS.bytes * now + 1e-3
