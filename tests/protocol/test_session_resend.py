"""Sending again and giving up (docs: rules 2 and 6 of the WebSocket)."""

from __future__ import annotations

import math

import pytest

from tests.protocol.session_kit import (
    AT,
    NOW,
    a_page,
    a_session,
    an_entry,
    pushed,
    sequences,
    silence,
    the_record,
    time_out,
)
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.session import Output
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import CaughtUp, Push

# --- Resends (rule 2) ---------------------------------------------------------------------------


def test_nothing_in_flight_has_no_deadline():
    session = a_session()
    assert session.next_deadline() == math.inf
    pushed(session, an_entry(1))
    session.ack_through(1, AT)
    assert session.next_deadline() == math.inf


def test_an_unacknowledged_push_is_sent_again_with_growing_delays():
    session = a_session(resend_limit=6, delivery_attempts_max=10)
    pushed(session, an_entry(1))
    times, attempts = [], []
    for _ in range(5):
        at, outputs = time_out(session)
        [push] = outputs
        assert isinstance(push, Push)
        times.append(at - NOW)
        attempts.append(push.attempt)

    assert times == [10.0, 30.0, 70.0, 130.0, 190.0]
    assert attempts == [2, 3, 4, 5, 6]


def test_a_resend_is_the_same_push_with_the_next_attempt():
    session = a_session(head=2)
    a_page(session, an_entry(1), an_entry(2))

    first, second = session.expire(NOW + 10, AT)

    assert isinstance(first, Push)
    assert isinstance(second, Push)
    assert (second.sequence, second.previous, second.attempt, second.replay) == (2, 1, 2, True)
    assert session.sent(first).attempts == 2


def test_nothing_is_sent_again_before_its_time():
    session = a_session()
    pushed(session, an_entry(1))
    assert session.expire(NOW + 9.99, AT) == []


def test_each_push_has_its_own_deadline():
    session = a_session()
    pushed(session, an_entry(1), now=NOW)
    pushed(session, an_entry(2), now=NOW + 4)

    assert sequences(session.expire(NOW + 10, AT)) == [1]
    assert session.next_deadline() == NOW + 14
    assert sequences(session.expire(NOW + 14, AT)) == [2]


def test_the_deadline_may_be_early_and_is_right_after_a_look():
    session = a_session()
    pushed(session, an_entry(1), now=NOW)
    pushed(session, an_entry(2), now=NOW + 4)
    session.ack_through(1, AT)

    assert session.next_deadline() <= NOW + 14
    assert session.expire(session.next_deadline(), AT) == []
    assert session.next_deadline() == NOW + 14


def test_a_look_that_comes_very_late_sends_once():
    session = a_session()
    pushed(session, an_entry(1))
    assert sequences(session.expire(NOW + 1e6, AT)) == [1]
    assert session.expire(NOW + 1e6, AT) == []


def test_after_the_limit_the_session_ends_as_unresponsive():
    session = a_session(resend_limit=3)
    push = pushed(session, an_entry(1))

    assert silence(session) == [push, push, Closing.UNRESPONSIVE]
    assert push.attempt == 3
    assert session.cursor == 0


def test_a_device_that_answers_for_one_push_is_still_held_to_the_others():
    session = a_session(resend_limit=2)
    pushed(session, an_entry(1))
    pushed(session, an_entry(2))
    session.expire(NOW + 10, AT)
    session.ack_ids(["n2"], AT)

    assert session.expire(NOW + 30, AT) == [Closing.UNRESPONSIVE]


def test_a_busy_notification_does_not_hide_that_the_device_is_silent():
    session = a_session(window=3, resend_limit=2)
    for sequence in (1, 2, 3):
        pushed(session, an_entry(sequence, "busy", "updated"))

    assert silence(session)[-1] is Closing.UNRESPONSIVE


def test_a_superseded_push_is_never_sent_again():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "b"))
    pushed(session, an_entry(3, "a", "withdrawn"))

    assert sequences(session.expire(NOW + 10, AT)) == [2, 3]


def test_an_update_has_its_own_attempts():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    session.expire(NOW + 10, AT)

    assert pushed(session, an_entry(2, "a", "updated"), now=NOW + 11).attempt == 1
    assert session.expire(NOW + 20, AT) == []
    assert sequences(session.expire(NOW + 21, AT)) == [2]


# --- Refusals -----------------------------------------------------------------------------------


def test_a_refused_push_comes_again_after_the_time_the_device_names():
    session = a_session()
    pushed(session, an_entry(1))

    record = the_record(session.nack("n1", "busy", 2.0, NOW + 1, AT))

    assert (record.attempts, record.acknowledged_at, record.dead_reason) == (1, None, None)
    assert session.next_deadline() == NOW + 3
    assert sequences(session.expire(NOW + 3, AT)) == [1]


def test_a_refused_push_may_wait_longer_than_the_resend_delay():
    session = a_session()
    pushed(session, an_entry(1))
    session.nack("n1", None, 3600.0, NOW, AT)

    assert session.expire(NOW + 60, AT) == []
    assert sequences(session.expire(NOW + 3600, AT)) == [1]


def test_refused_without_a_time_the_delays_grow_with_the_attempts():
    session = a_session()
    pushed(session, an_entry(1))
    times, now = [], NOW
    for _ in range(4):
        session.nack("n1", None, None, now, AT)
        outputs: list[Output] = []
        while not outputs:
            at, outputs = time_out(session)
        times.append(at - now)
        now = at

    assert times == [10.0, 20.0, 40.0, 60.0]


def test_a_device_that_refuses_is_not_unresponsive():
    session = a_session(resend_limit=2, delivery_attempts_max=20)
    pushed(session, an_entry(1))
    for _ in range(10):
        session.nack("n1", None, 0.0, NOW, AT)
        assert sequences(session.expire(NOW, AT)) == [1]


def test_refusals_count_as_attempts_and_the_last_is_the_death_of_it():
    session = a_session(delivery_attempts_max=2)
    pushed(session, an_entry(1))
    assert the_record(session.nack("n1", "no", 0.0, NOW, AT)).dead_reason is None
    session.expire(NOW, AT)

    record = the_record(session.nack("n1", "still no", 0.0, NOW, AT))

    assert (record.attempts, record.dead_reason) == (2, "still no")
    assert (session.in_flight, session.cursor) == (0, 1)


def test_refused_without_a_reason_it_says_so():
    session = a_session(delivery_attempts_max=1)
    pushed(session, an_entry(1))
    assert (
        the_record(session.nack("n1", None, None, NOW, AT)).dead_reason == "refused by the device"
    )


@pytest.mark.parametrize("notification", ["n9", "n1"])
def test_a_refusal_of_what_is_not_in_flight_is_passed_over(notification):
    session = a_session()
    pushed(session, an_entry(1))
    session.ack_through(1, AT)
    assert session.nack(notification, None, 1.0, NOW, AT) == []
    assert session.next_deadline() == math.inf


def test_a_refusal_goes_to_the_last_change():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))

    assert the_record(session.nack("a", None, 1.0, NOW, AT)).sequence == 2
    assert sequences(session.expire(NOW + 1, AT)) == [2]


# --- Attempts over sessions, and dead letters (rule 6) ------------------------------------------


def test_attempts_go_on_where_the_last_session_stopped():
    session = a_session(head=1)
    [push, _] = a_page(session, an_entry(1, attempts=3))
    assert isinstance(push, Push)
    assert push.attempt == 4


def test_a_new_session_begins_with_short_delays_and_its_own_limit():
    session = a_session(head=1, resend_limit=2, delivery_attempts_max=20)
    a_page(session, an_entry(1, attempts=10))

    assert session.next_deadline() == NOW + 10
    assert sequences(session.expire(NOW + 10, AT)) == [1]
    assert session.expire(NOW + 30, AT) == [Closing.UNRESPONSIVE]


def test_a_push_whose_attempts_are_used_up_dies_and_the_session_goes_on_behind_it():
    session = a_session(delivery_attempts_max=2, resend_limit=5)
    pushed(session, an_entry(1))
    pushed(session, an_entry(2))
    session.ack_ids(["n2"], AT)
    session.expire(NOW + 10, AT)

    record = the_record(session.expire(NOW + 30, AT))

    assert (record.sequence, record.attempts) == (1, 2)
    assert record.dead_reason == "attempts exhausted"
    assert (session.in_flight, session.cursor) == (0, 2)
    assert sequences([pushed(session, an_entry(3))]) == [3]


def test_the_reason_of_the_last_refusal_is_the_reason_of_the_death():
    session = a_session(delivery_attempts_max=2)
    pushed(session, an_entry(1))
    session.nack("n1", "cannot parse", 0.0, NOW, AT)
    session.expire(NOW, AT)

    assert the_record(silence(session)).dead_reason == "cannot parse"


def test_an_entry_out_of_attempts_is_not_pushed_and_goes_to_the_dead():
    session = a_session(head=3, delivery_attempts_max=2)

    outputs = a_page(session, an_entry(1, attempts=2), an_entry(2), an_entry(3, attempts=5))

    dead = [output for output in outputs if isinstance(output, DeliveryRecord)]
    assert [(record.sequence, record.attempts) for record in dead] == [(1, 2), (3, 5)]
    assert {record.dead_reason for record in dead} == {"attempts exhausted"}
    assert sequences(outputs) == [2]
    assert outputs[-1] == CaughtUp(3)
    session.ack_through(2, AT)
    assert session.cursor == 3


def test_the_dead_take_no_room_in_the_window():
    session = a_session(head=3, window=1, delivery_attempts_max=1)
    outputs = a_page(session, an_entry(1, attempts=1), an_entry(2, attempts=1), an_entry(3))
    assert sequences(outputs) == [3]


def test_the_death_of_a_change_ends_what_it_superseded_as_well():
    session = a_session(delivery_attempts_max=1)
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))

    assert the_record(session.expire(NOW + 10, AT)).sequence == 2
    assert (session.in_flight, session.cursor) == (0, 2)


def test_a_reason_that_no_store_could_keep_is_made_one_that_it_can():
    session = a_session(delivery_attempts_max=1)
    pushed(session, an_entry(1))

    assert the_record(session.nack("n1", "a\0b", None, NOW, AT)).dead_reason == "a\ufffdb"
