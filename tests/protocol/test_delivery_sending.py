"""The pushes of a device's delivery, and their lines in the ledger."""

from __future__ import annotations

from tests.protocol.delivery_kit import a_page, attach, in_phase
from tests.protocol.session_kit import AT, LIMITS, NOW, an_entry
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.machine import HOLD
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.resting import RestingDelivery
from tocsin.protocol.delivery.values import End, LogPage, Note, NoteEnd, Output
from tocsin.protocol.frames import frames
from tocsin.protocol.log.push import Push


def a_pushed(delivery: RestingDelivery) -> Push:
    attach(delivery)
    made = delivery.changed(an_entry(1), NOW, AT)
    assert isinstance(made, tuple)
    return made[0]


def test_a_push_comes_with_its_line_for_the_ledger():
    delivery = in_phase(Phase.ATTACHING)
    attach(delivery)
    made = delivery.changed(an_entry(1), NOW, AT)

    assert isinstance(made, tuple)
    assert (made[0].sequence, made[1].sequence, made[1].acknowledged_at) == (1, 1, None)


def test_an_acknowledgment_is_noted_with_the_cursor():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    [note] = delivery.said(frames.Ack(sequence=1), NOW, AT)

    assert isinstance(note, Note)
    assert [record.acknowledged_at for record in note.records] == [AT]
    assert note.cursor is not None
    assert note.cursor.sequence == 1


def test_an_acknowledgment_by_id_is_noted_too():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    [note] = delivery.said(frames.Ack(ids=["n1"]), NOW, AT)

    assert isinstance(note, Note)
    assert [record.acknowledged_at for record in note.records] == [AT]


def test_an_acknowledgment_of_what_was_not_sent_ends_the_connection():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    end, *_ = delivery.said(frames.Ack(sequence=7), NOW, AT)

    assert isinstance(end, End)
    assert end.closing is Closing.MALFORMED
    assert "7" in end.detail
    assert delivery.phase is Phase.ENDED


def test_a_refused_push_is_sent_again_after_the_delay_that_was_asked_for():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    delivery.said(frames.Nack("n1", after=3.0), NOW, AT)

    assert delivery.next_deadline() == NOW + 3.0
    push, note = delivery.tick(NOW + 3.0, AT, NOW + 3.0, is_current=True)
    assert isinstance(push, Push)
    assert push.attempt == 2
    assert isinstance(note, Note)


def test_a_push_that_is_refused_for_good_is_dead_in_the_ledger():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    now = NOW
    for _ in range(LIMITS.delivery_attempts_max - 1):
        delivery.said(frames.Nack("n1", after=1.0), now, AT)
        now += 1.0
        delivery.tick(now, AT, now, is_current=True)
    [note] = delivery.said(frames.Nack("n1"), now, AT)

    assert isinstance(note, Note)
    assert [record.dead_reason is not None for record in note.records] == [True]


def test_a_device_that_answers_nothing_is_given_up_with_what_it_was_sent_noted():
    delivery = in_phase(Phase.ATTACHING)
    a_pushed(delivery)
    outputs: list[Output] = []
    while delivery.phase is Phase.LIVE:
        now = delivery.next_deadline()
        outputs = delivery.tick(now, AT, now, is_current=True)

    [end] = [each for each in outputs if isinstance(each, End)]
    assert end.closing is Closing.UNRESPONSIVE


def test_nothing_is_sent_again_while_the_other_nodes_are_not_known_of():
    delivery = in_phase(Phase.ATTACHING)
    due = a_pushed(delivery).deadline

    assert delivery.tick(due, AT, due, is_current=False) == []
    assert delivery.next_deadline() == due + HOLD
    push, note = delivery.tick(due + HOLD, AT, due, is_current=True)
    assert isinstance(push, Push)
    assert isinstance(note, Note)


def test_behind_the_end_of_the_token_nothing_is_said_not_even_that_all_was_sent():
    delivery = in_phase(Phase.REPLAYING, expires_at=AT + 5000)
    outputs = delivery.page(a_page(1, 2), NOW, AT + 5000)

    assert [type(output) for output in outputs] == [End, NoteEnd]
    assert isinstance(outputs[0], End)
    assert outputs[0].closing is Closing.UNAUTHENTICATED


def test_behind_the_end_of_the_token_what_is_dead_is_noted_all_the_same():
    delivery = in_phase(Phase.REPLAYING, expires_at=AT + 5000)
    dead = an_entry(1, attempts=LIMITS.delivery_attempts_max)
    page = LogPage([dead, an_entry(2)], 2, 2, 0, 2, 1)
    note, end, *_ = delivery.page(page, NOW, AT + 5000)

    assert isinstance(note, Note)
    assert [record.notification for record in note.records] == ["n1"]
    assert isinstance(end, End)
