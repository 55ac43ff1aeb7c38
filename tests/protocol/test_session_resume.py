"""Devices that acknowledge by coming back; and acknowledgments that come past the session."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from msgspec import structs

from tests.protocol.session_kit import (
    AT,
    LIMITS,
    MIDDLE,
    NOW,
    a_page,
    a_session,
    an_entry,
    pushed,
    sequences,
    the_record,
)
from tocsin.protocol.delivery.session import DeviceSession
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.log.push import PageWanted, Push

LONG = 100_000.0


def a_resuming_session(start: int = 0, head: int = 0, **limits: Any) -> DeviceSession:
    session = DeviceSession(
        "ann", "phone", start, max(start, head), replace(LIMITS, **limits), lambda: MIDDLE,
        Acknowledging.RESUME,
    )  # fmt: skip
    session.begin()
    return session


# --- Resuming -----------------------------------------------------------------------------------


def test_an_unacknowledged_push_is_not_sent_again():
    session = a_resuming_session()
    pushed(session, an_entry(1))

    assert session.next_deadline() == math.inf
    assert session.expire(NOW + LONG, AT) == []


def test_pushes_that_the_socket_has_not_taken_fill_the_window():
    session = a_resuming_session(window=2)
    pushed(session, an_entry(1))
    pushed(session, an_entry(2))

    assert session.live(an_entry(3), NOW, AT) is None
    assert session.wants_page() is None
    session.taken(1)
    assert session.wants_page() == PageWanted(2, 1, 990, 2)


def test_a_push_that_the_socket_has_taken_is_still_unacknowledged():
    session = a_resuming_session(start=7)
    push = pushed(session, an_entry(8))
    session.taken(8)

    assert session.sent(push).acknowledged_at is None
    assert session.cursor == 7
    assert session.cursor_moved(AT) is None


def test_a_change_of_what_was_taken_is_one_more_push():
    session = a_resuming_session()
    pushed(session, an_entry(1, "n1"))
    session.taken(1)
    pushed(session, an_entry(2, "n1", "updated"))
    session.taken(2)

    assert session.in_flight == 0


def test_a_change_of_what_was_not_taken_leaves_both_on_their_way():
    session = a_resuming_session()
    pushed(session, an_entry(1, "n1"))
    pushed(session, an_entry(2, "n1", "updated"))
    session.taken(1)

    assert session.in_flight == 1
    session.taken(2)
    assert session.in_flight == 0


def test_a_push_after_a_return_has_the_next_attempt():
    session = a_resuming_session(head=1)

    [push, _] = a_page(session, an_entry(1, attempts=2))

    assert isinstance(push, Push)
    assert push.attempt == 3


def test_an_entry_that_came_too_often_is_dead_and_the_session_goes_on():
    session = a_resuming_session(head=2, delivery_attempts_max=3)

    dead, push, _ = a_page(session, an_entry(1, attempts=3), an_entry(2))

    assert the_record([dead]).dead_reason == "attempts exhausted"
    assert sequences([push]) == [2]


# --- Acknowledged elsewhere ---------------------------------------------------------------------


def test_a_push_acknowledged_elsewhere_is_not_sent_again():
    session = a_session()
    pushed(session, an_entry(1))
    pushed(session, an_entry(2))

    [first, second] = session.acknowledged(2, (), AT)

    assert (first.sequence, second.sequence) == (1, 2)
    assert first.acknowledged_at == AT
    assert session.next_deadline() == math.inf
    assert session.cursor == 2


def test_an_acknowledgment_of_what_this_session_never_sent_is_no_error():
    session = a_session()
    pushed(session, an_entry(1))

    assert len(session.acknowledged(900, ("n1", "unknown"), AT)) == 1
    assert session.position == 1


def test_an_id_acknowledged_elsewhere_is_taken_as_one_said_in_the_session():
    session = a_session()
    pushed(session, an_entry(1, "n1"))
    pushed(session, an_entry(2, "n1", "updated"))

    assert [record.sequence for record in session.acknowledged(None, ("n1",), AT)] == [1]
    assert session.in_flight == 1
    assert the_record(session.acknowledged(None, ("n1",), AT)).sequence == 2


# --- Expiry -------------------------------------------------------------------------------------


def test_an_expired_entry_is_not_pushed_and_the_next_one_is():
    session = a_session()

    assert session.live(structs.replace(an_entry(1), expires_at=AT), NOW, AT) is None
    assert session.position == session.cursor == 1
    assert pushed(session, an_entry(2)).previous == 0


def test_an_entry_that_expired_since_the_page_was_read_is_not_replayed():
    session = a_session(head=3)
    gone = structs.replace(an_entry(2), expires_at=AT)

    outputs = a_page(session, an_entry(1), gone, an_entry(3))

    assert sequences(outputs) == [1, 3]
    assert session.synced
