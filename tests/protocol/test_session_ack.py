"""Acknowledgments in a session, and changes of what is in flight (docs: rules 3 and 4)."""

from __future__ import annotations

import pytest

from tests.protocol.session_kit import (
    AT,
    LIMITS,
    NOW,
    a_page,
    a_session,
    an_entry,
    pushed,
    sequences,
    the_record,
)
from tocsin.protocol.delivery.session import DeviceSession
from tocsin.protocol.errors import AckedUnsent
from tocsin.protocol.log.ledger import DeviceCursor

# --- Acknowledgments (rule 3) -------------------------------------------------------------------


def three_pushed() -> DeviceSession:
    session = a_session()
    for sequence in (1, 2, 3):
        pushed(session, an_entry(sequence))
    return session


def test_an_ack_covers_everything_up_to_it():
    session = three_pushed()

    records = session.ack_through(2, AT + 5)

    assert [record.sequence for record in records] == [1, 2]
    assert {record.acknowledged_at for record in records} == {AT + 5}
    assert {record.first_sent_at for record in records} == {AT}
    assert session.cursor == 2


def test_an_ack_is_idempotent_and_may_come_late():
    session = three_pushed()
    session.ack_through(3, AT)

    assert session.ack_through(3, AT) == []
    assert session.ack_through(1, AT) == []
    assert session.ack_through(0, AT) == []
    assert session.cursor == 3


def test_an_ack_of_what_was_never_sent_is_a_violation_and_acknowledges_nothing():
    session = three_pushed()

    with pytest.raises(AckedUnsent, match="acknowledged 4, but 3"):
        session.ack_through(4, AT)
    assert session.in_flight == 3


def test_an_entry_left_out_may_be_acknowledged_because_synced_names_it():
    session = a_session(head=5)
    a_page(session, an_entry(2), through=5)

    assert [record.sequence for record in session.ack_through(5, AT)] == [2]


def test_ids_are_acknowledged_in_any_order_and_the_cursor_waits_for_the_first():
    session = three_pushed()

    assert the_record(session.ack_ids(["n2"], AT)).notification == "n2"
    assert session.cursor == 0
    session.ack_ids(["n1"], AT)
    assert session.cursor == 2


def test_unknown_and_repeated_ids_are_passed_over():
    session = three_pushed()
    assert the_record(session.ack_ids(["n9", "n2", "n2"], AT)).sequence == 2
    assert session.ack_ids(["n2"], AT) == []


def test_the_cursor_is_reported_when_it_has_moved():
    session = three_pushed()
    assert session.cursor_moved(AT) is None
    session.ack_through(2, AT)

    assert session.cursor_moved(AT) == DeviceCursor("ann", "phone", 2, AT)
    assert session.cursor_moved(AT) is None


# --- Changes of what is in flight ---------------------------------------------------------------


def test_a_change_supersedes_the_one_in_flight_even_if_the_page_calls_it_created():
    session = a_session(window=2)
    pushed(session, an_entry(1, "a"))
    session.heard_of(5)
    a_page(session, an_entry(5, "a", "created"))

    assert sequences(session.expire(NOW + 60, AT)) == [5]


def test_an_ack_of_the_superseded_change_says_nothing_of_the_new_one():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))

    assert the_record(session.ack_through(1, AT)).sequence == 1
    assert (session.in_flight, session.cursor) == (1, 1)
    assert the_record(session.ack_through(2, AT)).sequence == 2


def test_an_ack_of_the_new_change_covers_the_superseded_one():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "b"))
    pushed(session, an_entry(3, "a", "updated"))

    assert {record.sequence for record in session.ack_through(3, AT)} == {2, 3}
    assert (session.in_flight, session.cursor) == (0, 3)


def test_the_ledger_is_told_the_oldest_change_that_is_unanswered_too():
    session = a_session()
    first = pushed(session, an_entry(1, "a"))
    second = pushed(session, an_entry(2, "a", "updated"))
    third = pushed(session, an_entry(3, "a", "updated"))
    assert [session.sent(push).unanswered for push in (first, second, third)] == [0, 1, 1]

    answered, sent = session.ack_through(1, AT)
    assert (answered.sequence, answered.acknowledged_at) == (1, AT)
    assert (sent.sequence, sent.acknowledged_at, sent.unanswered) == (3, None, 2)
    assert session.sent(third).unanswered == 2
    assert the_record(session.ack_through(3, AT)).unanswered == 0


def test_an_ack_by_id_that_crossed_an_update_does_not_acknowledge_the_update():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))

    assert the_record(session.ack_ids(["a"], AT)).sequence == 1
    assert session.cursor == 1
    assert the_record(session.ack_ids(["a"], AT)).sequence == 2


def test_a_device_that_acknowledges_an_id_once_for_two_changes_is_asked_once_more():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))
    pushed(session, an_entry(3, "a", "updated"))
    session.ack_ids(["a"], AT)

    assert sequences(session.expire(session.next_deadline(), AT)) == [3]
    assert the_record(session.ack_ids(["a"], AT)).sequence == 3
    assert session.in_flight == 0


def test_an_ack_by_id_answers_the_older_change_also_where_the_later_was_sent_again():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))
    session.expire(session.next_deadline(), AT)

    assert the_record(session.ack_ids(["a"], AT)).sequence == 1
    assert sequences(session.expire(session.next_deadline(), AT)) == [2]
    assert the_record(session.ack_ids(["a"], AT)).sequence == 2
    assert session.in_flight == 0


def test_a_device_whose_ack_is_taken_for_an_older_change_is_not_unresponsive():
    session = a_session()
    pushed(session, an_entry(1, "a"))
    pushed(session, an_entry(2, "a", "updated"))
    for _ in range(LIMITS.resend_limit - 1):
        session.expire(session.next_deadline(), AT)
    session.ack_ids(["a"], AT)

    assert sequences(session.expire(session.next_deadline(), AT)) == [2]


def test_sessions_of_two_devices_know_nothing_of_each_other():
    phone, tablet = a_session(), a_session()
    pushed(phone, an_entry(1))
    pushed(tablet, an_entry(1))

    phone.ack_through(1, AT)

    assert (phone.in_flight, tablet.in_flight) == (0, 1)
