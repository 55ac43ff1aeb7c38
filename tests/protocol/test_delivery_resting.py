"""A delivery between two polls: when it rests, who may return to it, and what ends it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.protocol.delivery_kit import ALL_WELL, a_page, attach, in_phase
from tests.protocol.session_kit import AT, LIMITS, NOW, an_entry
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.resting import REST, RestingDelivery
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.delivery.values import BeginAt, End, Hops, Note, NoteEnd, Say
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.ledger import DeviceCursor, SessionEnd

SECOND = 1000
WINDOW = LIMITS.window


def a_live_poll(start: int = 4, horizon: int = 0, **terms: Any) -> RestingDelivery:
    """A poll of a device that has everything up to *start*."""
    polling = {"cursor": Cursor("e", start), "acknowledging": Acknowledging.RESUME, **terms}
    delivery = in_phase(Phase.ATTACHING, **polling)
    attach(delivery, start, horizon=horizon)
    assert delivery.phase is Phase.LIVE
    return delivery


def a_rest(*sequences: int, **terms: Any) -> RestingDelivery:
    """As a poll that was answered with *sequences*, which follow its start."""
    delivery = a_live_poll(**terms)
    for sequence in sequences:
        assert isinstance(delivery.changed(an_entry(sequence), NOW, AT), tuple)
    assert delivery.can_rest
    delivery.rest(NOW)
    return delivery


def returns(delivery: RestingDelivery, sequence: int = 5, **fields: Any) -> bool:
    return delivery.can_return(Cursor("e", sequence, **fields), WINDOW)


# --- Resting --------------------------------------------------------------------------------------


def test_a_session_rests_when_all_is_told():
    delivery = a_live_poll()
    assert delivery.can_rest

    delivery.heard_of(6, AT)
    assert not delivery.can_rest


def test_a_session_does_not_rest_while_it_reads():
    delivery = a_live_poll()
    delivery.recounted(AT)
    assert not delivery.can_rest

    delivery.page(a_page(through=4, head=4), NOW, AT)
    assert delivery.can_rest


def test_a_session_that_has_not_begun_or_has_ended_does_not_rest():
    phases = Phase.WAITING, Phase.ATTACHING, Phase.REPLAYING, Phase.RESETTING, Phase.ENDED
    assert not any(in_phase(phase).can_rest for phase in phases)


def test_a_session_that_would_have_to_keep_much_does_not_rest():
    delivery = a_live_poll()
    delivery.changed(an_entry(5, size=9000), NOW, AT)

    assert not delivery.can_rest


def test_nothing_is_pushed_while_a_session_rests():
    delivery = a_rest()

    assert delivery.changed(an_entry(5), NOW, AT) == []
    assert delivery.heard_of(6, AT) == []
    assert delivery.recounted(AT) == []
    assert delivery.compared(7, 7, AT) == []
    assert delivery.phase is Phase.RESTING


def test_a_rest_ends_in_its_time_and_the_ledger_is_told():
    delivery = a_rest(5)
    assert delivery.next_deadline() == NOW + REST

    assert delivery.tick(NOW + REST - 0.001, AT, math.inf, is_current=True) == []
    assert returns(delivery)
    end = NoteEnd(SessionEnd("ann", "phone", "a/7/1"))
    assert delivery.tick(NOW + REST, AT, math.inf, is_current=True) == [end]
    assert delivery.phase is Phase.ENDED


def test_a_token_that_runs_out_ends_the_rest():
    delivery = a_rest(expires_at=AT + SECOND)
    assert delivery.next_deadline() <= NOW + 1

    end, _ = delivery.tick(NOW + 1, AT + SECOND, math.inf, is_current=True)
    assert isinstance(end, End)
    assert end.closing is Closing.UNAUTHENTICATED


# --- Who may return -------------------------------------------------------------------------------


def test_the_cursor_of_the_answer_returns():
    assert returns(a_rest(5))
    assert returns(a_rest(5), horizon=3)


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        Cursor("e", 4),
        Cursor("e", 6),
        Cursor("f", 5),
        Cursor("e", 0, everything=True),
        Cursor("e", 5, acknowledges=False),
    ],
)
def test_another_cursor_does_not_return(cursor):
    assert not a_rest(5).can_return(cursor, WINDOW)


def test_a_poll_with_another_limit_does_not_return():
    assert not a_rest(5).can_return(Cursor("e", 5), WINDOW + 1)


def test_a_poll_does_not_return_to_a_session_that_does_not_rest():
    assert not returns(a_live_poll(start=5))
    ended = a_rest(5)
    ended.end(Closing.REPLACED)
    assert not returns(ended)


def test_below_the_horizon_only_a_cursor_of_this_replay_returns():
    delivery = a_rest(5, horizon=8)

    assert not returns(delivery)
    assert not returns(delivery, horizon=7)
    assert returns(delivery, horizon=8)


@pytest.mark.parametrize(
    "happens",
    [
        lambda it: it.changed(an_entry(6), NOW, AT),
        lambda it: it.heard_of(6, AT),
        lambda it: it.recounted(AT),
        lambda it: it.compared(7, 7, AT),
        lambda it: it.store_changed(ALL_WELL, AT, is_back=True),
        lambda it: it.bus_changed(ALL_WELL, AT, is_back=True),
    ],
)
def test_a_device_does_not_return_to_a_session_that_has_missed_something(happens):
    delivery = a_rest(5)
    happens(delivery)

    assert not returns(delivery)


def test_news_of_what_the_device_has_is_nothing_missed():
    delivery = a_rest(5)
    delivery.heard_of(5, AT)
    counters = an_entry(5).unread, an_entry(5).unseen
    delivery.compared(*counters, AT)
    delivery.store_changed(Hops(bus=True, store=False), AT, is_back=False)

    assert returns(delivery)


# --- Returning ------------------------------------------------------------------------------------


def test_a_device_that_returns_has_what_it_was_sent():
    delivery = a_rest(5, 6)
    assert returns(delivery, 6)
    note, begin, welcome, synced = delivery.returned(None, NOW + 1, AT + SECOND)

    assert isinstance(note, Note)
    lines = [(line.sequence, line.acknowledged_at) for line in note.records]
    assert lines == [(5, AT + SECOND), (6, AT + SECOND)]
    assert note.cursor == DeviceCursor("ann", "phone", 6, AT + SECOND)
    assert begin == BeginAt(Cursor("e", 6))
    assert isinstance(welcome, Say)
    assert isinstance(welcome.frame, frames.Welcome)
    counters = an_entry(6).unread, an_entry(6).unseen
    assert (welcome.frame.unread, welcome.frame.unseen) == counters
    assert synced == Say(frames.Synced(6))
    assert delivery.phase is Phase.LIVE


def test_a_device_that_returns_is_pushed_what_comes_next():
    delivery = a_rest(5)
    delivery.returned(None, NOW, AT)
    made = delivery.changed(an_entry(6), NOW, AT)

    assert isinstance(made, tuple)
    assert (made[0].sequence, made[0].previous) == (6, 5)


def test_a_device_that_was_sent_nothing_has_nothing_to_note():
    delivery = a_rest()
    assert returns(delivery, 4)

    assert [type(each) for each in delivery.returned(None, NOW, AT)] == [BeginAt, Say, Say]


def test_a_place_that_moved_without_a_push_is_noted_once():
    delivery = a_live_poll()
    delivery.heard_of(6, AT)
    delivery.page(a_page(through=6, head=6), NOW, AT)
    for notes in (1, 0):
        delivery.rest(NOW)
        outputs = delivery.returned(None, NOW, AT)
        assert [each.cursor for each in outputs if isinstance(each, Note)] == notes * [
            DeviceCursor("ann", "phone", 6, AT)
        ]


def test_the_next_push_comes_behind_a_place_that_moved_without_a_push():
    delivery = a_live_poll()
    delivery.heard_of(6, AT)
    delivery.page(a_page(through=6, head=6), NOW, AT)
    delivery.rest(NOW)
    delivery.returned(None, NOW, AT)
    made = delivery.changed(an_entry(7), NOW, AT)

    assert isinstance(made, tuple)
    assert (made[0].sequence, made[0].previous) == (7, 6)


def test_a_device_that_returns_is_served_until_its_newer_token_ends():
    delivery = a_rest(expires_at=AT + SECOND)
    delivery.returned(AT + 9 * SECOND, NOW, AT)

    assert delivery.tick(NOW + 2, AT + 2 * SECOND, math.inf, is_current=True) == []
    delivery.tick(NOW + 9, AT + 9 * SECOND, math.inf, is_current=True)
    assert delivery.phase is Phase.ENDED


def test_an_acknowledgment_that_comes_while_a_session_rests_is_noted():
    delivery = a_rest(5, 6)
    delivery.heard_of(7, AT)
    [note] = delivery.acknowledged(5, (), AT)

    assert isinstance(note, Note)
    assert [line.sequence for line in note.records] == [5]
