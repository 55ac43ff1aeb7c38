"""When a silent peer is pinged, and when it is lost (docs: rule 5 of the WebSocket)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.delivery.heartbeat import Heartbeat, Pulse

INTERVAL = 25.0


def test_silence_of_one_interval_is_pinged():
    heart = Heartbeat(INTERVAL, 100.0)
    assert heart.check(124.9, 100.0) is Pulse.QUIET
    assert heart.check(125.0, 100.0) is Pulse.PING
    assert heart.deadline == 150.0


def test_two_missed_pings_are_the_end():
    heart = Heartbeat(INTERVAL, 0.0)
    assert [heart.check(at, 0.0) for at in (25.0, 50.0, 75.0)] == [
        Pulse.PING,
        Pulse.PING,
        Pulse.LOST,
    ]


def test_anything_heard_starts_the_silence_anew():
    heart = Heartbeat(INTERVAL, 0.0)
    assert heart.check(25.0, 20.0) is Pulse.QUIET
    assert heart.deadline == 45.0
    assert heart.check(45.0, 20.0) is Pulse.PING


def test_an_answer_to_the_last_ping_in_time_forgives_the_first():
    heart = Heartbeat(INTERVAL, 0.0)
    heart.check(25.0, 0.0)
    heart.check(50.0, 0.0)
    assert heart.check(75.0, 51.0) is Pulse.QUIET
    assert [heart.check(at, 51.0) for at in (76.0, 101.0, 126.0)] == [
        Pulse.PING,
        Pulse.PING,
        Pulse.LOST,
    ]


def test_pings_that_were_answered_are_not_missed_however_late_somebody_looks():
    heart = Heartbeat(INTERVAL, 0.0)
    now, heard = 26.0, 0.0
    for _ in range(10):
        assert heart.check(now, heard) is Pulse.PING
        # Answered at once, but looked at two seconds after the deadline.
        heard, now = now + 0.1, now + INTERVAL + 2.0


def test_an_answer_in_the_same_instant_is_an_answer():
    # A virtual clock stands still between the ping and its answer.
    heart = Heartbeat(INTERVAL, 0.0)
    for ping in range(1, 6):
        assert heart.check(ping * INTERVAL, (ping - 1) * INTERVAL) is Pulse.PING


def test_a_node_that_slept_asks_before_it_gives_up():
    heart = Heartbeat(INTERVAL, 0.0)
    assert heart.check(3600.0, 0.0) is Pulse.PING
    assert heart.deadline == 3625.0


@given(
    interval=st.floats(0.001, 100.0),
    begun=st.floats(0.0, 1e9),
    silence=st.floats(0.0, 1.0, exclude_max=True),
)
def test_a_deadline_that_is_kept_leads_on(interval, begun, silence):
    """A virtual clock jumps exactly to the deadline: the next one has to lie behind it."""
    heart = Heartbeat(interval, begun)
    heard = begun + interval * silence
    for _ in range(4):
        now = heart.deadline
        if heart.check(now, min(heard, now)) is Pulse.LOST:
            break
        assert heart.deadline > now


@given(gaps=st.lists(st.floats(0.0, 24.9), max_size=30), late=st.floats(0.0, 60.0))
def test_a_peer_heard_within_the_interval_is_never_lost(gaps, late):
    heart = Heartbeat(INTERVAL, 0.0)
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    while (now := heart.deadline + late) <= times[-1]:
        assert heart.check(now, max(time for time in times if time <= now)) is not Pulse.LOST


@given(heard=st.lists(st.floats(0.0, 300.0), max_size=10))
def test_silence_is_the_end_within_three_intervals(heard):
    heart = Heartbeat(INTERVAL, 0.0)
    times = sorted([0.0, *heard])
    pulse, now = Pulse.QUIET, 0.0
    while pulse is not Pulse.LOST:
        now = heart.deadline
        pulse = heart.check(now, max(time for time in times if time <= now))
    last = max(time for time in times if time <= now)
    assert 2 * INTERVAL <= now - last <= 3 * INTERVAL + 1e-6
