"""A device's delivery as one machine: each row of its table, and what each phase decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.protocol.delivery_kit import (
    ALL_WELL,
    HEARTBEAT,
    a_delivery,
    a_page,
    attach,
    in_phase,
)
from tests.protocol.session_kit import AT, NOW, an_entry
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import NEXT, Input, OutOfPhase, Phase
from tocsin.protocol.delivery.presence import ECHO_MAX
from tocsin.protocol.delivery.resting import RestingDelivery
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.delivery.values import (
    AnnounceArrival,
    AnnouncePresence,
    AskPage,
    AskPlace,
    BeginAt,
    End,
    Hops,
    Note,
    NoteEnd,
    Output,
    Say,
    SendPing,
)
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.ledger import DeviceCursor

# --- The table ------------------------------------------------------------------------------------

STAYS: Final = "WAITING ATTACHING SETTLING REPLAYING LIVE RESETTING RESTING -"
ENDS: Final = "ENDED ENDED ENDED ENDED ENDED ENDED ENDED -"
TABLE: Final = {
    Input.LISTENING: "ATTACHING ATTACHING SETTLING REPLAYING LIVE RESETTING RESTING -",
    Input.ATTACHED: "- REPLAYING - - - REPLAYING - -",
    Input.PARTLY: "- ATTACHING - - - RESETTING - -",
    Input.UNSETTLED: "- SETTLING - - - - - -",
    Input.SETTLED: "- - ATTACHING - - - - -",
    Input.PAGE: "- - - REPLAYING LIVE - - -",
    Input.PAGE_FAILED: "- - - REPLAYING LIVE - - -",
    Input.CHANGED: STAYS,
    Input.HEARD_OF: STAYS,
    Input.RECOUNTED: STAYS,
    Input.COMPARED: STAYS,
    Input.SAID: "ENDED ENDED ENDED REPLAYING LIVE RESETTING - -",
    Input.ACKNOWLEDGED: STAYS,
    Input.TAKEN: STAYS,
    Input.REFRESHED: STAYS,
    Input.HOPS_CHANGED: STAYS,
    Input.HEARD_ELSEWHERE: STAYS,
    Input.TICK: STAYS,
    Input.RESTED: "- - - - RESTING - - -",
    Input.RETURNED: "- - - - - - LIVE -",
    Input.LEFT: ENDS,
    Input.ASK_REFUSED: "- ENDED - ENDED ENDED ENDED - -",
    Input.NOTE_REFUSED: "- - - ENDED ENDED ENDED ENDED ENDED",
    Input.SYNCED: "- - - LIVE - - - -",
    Input.PURGED: "- - - RESETTING RESETTING - - -",
    Input.ENDED: ENDS,
}
GIVE: Final[dict[Input, Callable[[RestingDelivery], Any]]] = {
    Input.LISTENING: lambda it: it.listening(),
    Input.ATTACHED: lambda it: attach(it, head=5),
    Input.PARTLY: lambda it: it.acknowledged_partly(),
    Input.UNSETTLED: lambda it: it.unsettled(),
    Input.SETTLED: lambda it: it.settled(),
    Input.PAGE: lambda it: it.page(a_page(1, head=9), NOW, AT),
    Input.PAGE_FAILED: lambda it: it.page_failed(NOW),
    Input.CHANGED: lambda it: it.changed(an_entry(9), NOW, AT),
    Input.HEARD_OF: lambda it: it.heard_of(9, AT),
    Input.RECOUNTED: lambda it: it.recounted(AT),
    Input.COMPARED: lambda it: it.compared(7, 7, AT),
    Input.SAID: lambda it: it.said(frames.Ack(sequence=0), NOW, AT),
    Input.ACKNOWLEDGED: lambda it: it.acknowledged(1, (), AT),
    Input.TAKEN: lambda it: it.taken(1, AT),
    Input.REFRESHED: lambda it: it.refreshed(None, NOW, AT),
    Input.HOPS_CHANGED: lambda it: it.store_changed(ALL_WELL, AT, is_back=True),
    Input.HEARD_ELSEWHERE: lambda it: it.asked_for(),
    Input.TICK: lambda it: it.tick(NOW, AT, NOW, is_current=True),
    Input.RESTED: lambda it: it.rest(NOW),
    Input.RETURNED: lambda it: it.returned(None, NOW, AT),
    Input.LEFT: lambda it: it.left(),
    Input.ASK_REFUSED: lambda it: it.ask_refused(Closing.OVERLOADED),
    Input.NOTE_REFUSED: lambda it: it.note_refused(),
    Input.SYNCED: lambda it: it.page(a_page(1, 2), NOW, AT),
    Input.PURGED: lambda it: it.page(a_page(head=9, horizon=8), NOW, AT),
    Input.ENDED: lambda it: it.end(Closing.DISCONNECTED),
}


def following(phase: Phase, happened: Input) -> Phase | None:
    word = TABLE[happened].split()[list(Phase).index(phase)]
    return None if word == "-" else Phase[word]


@pytest.mark.parametrize("happened", Input)
@pytest.mark.parametrize("phase", Phase)
def test_the_table_says_what_follows(phase, happened):
    assert NEXT[phase].get(happened) == following(phase, happened)


@pytest.mark.parametrize("happened", Input)
@pytest.mark.parametrize("phase", Phase)
def test_an_input_leads_where_the_table_says_or_is_an_error(phase, happened):
    delivery, expected = in_phase(phase), following(phase, happened)
    if expected is not None:
        GIVE[happened](delivery)
        assert delivery.phase is expected
    elif happened is not Input.SYNCED or phase is not Phase.LIVE:
        # (In the phase LIVE, what the input comes of is an input that can come.)
        with pytest.raises(OutOfPhase):
            GIVE[happened](delivery)


# --- Where it starts ------------------------------------------------------------------------------


def test_the_store_is_asked_when_the_other_nodes_are_heard_and_once():
    delivery = a_delivery(cursor=Cursor("e", 3))

    assert delivery.listening() == [AskPlace(Cursor("e", 3))]
    assert delivery.listening() == []


def test_a_device_that_misses_nothing_is_live_at_once():
    delivery = in_phase(Phase.ATTACHING)
    begin, welcome, arrival, synced = attach(delivery, start=4)

    assert begin == BeginAt(Cursor("e", 4))
    assert isinstance(welcome, Say)
    assert isinstance(welcome.frame, frames.Welcome)
    assert (arrival, synced) == (AnnounceArrival(4), Say(frames.Synced(4)))
    assert delivery.phase is Phase.LIVE


def test_another_node_is_waited_for_once():
    delivery = in_phase(Phase.ATTACHING)
    assert delivery.asks_elsewhere
    delivery.unsettled()

    assert delivery.settled() == [AskPlace(None)]
    assert not delivery.asks_elsewhere


def test_no_other_node_is_waited_for_if_the_device_says_all_with_its_cursor():
    resuming = {"cursor": Cursor("e", 3), "acknowledging": Acknowledging.RESUME}

    assert not in_phase(Phase.ATTACHING, **resuming).asks_elsewhere
    assert in_phase(Phase.ATTACHING, cursor=Cursor("e", 3)).asks_elsewhere


def test_a_purge_under_the_reader_begins_the_session_anew_without_another_welcome():
    delivery = in_phase(Phase.LIVE)
    assert delivery.page(a_page(head=9, horizon=8), NOW, AT) == [
        AskPlace(Cursor("e", 0, everything=True))
    ]

    begin, reset, page = attach(delivery, head=9, horizon=8)
    assert begin == BeginAt(Cursor("e", 0, horizon=8))
    assert reset == Say(frames.Reset("horizon"))
    assert isinstance(page, AskPage)
    assert (page.start, page.began, page.resumed) == (0, 9, False)


# --- Reading --------------------------------------------------------------------------------------


def test_a_page_that_failed_is_asked_for_again_after_a_pause():
    delivery = in_phase(Phase.REPLAYING)
    delivery.page_failed(NOW)
    assert delivery.heard_of(3, AT) == []

    again = delivery.next_deadline()
    assert again == NOW + 1.5
    [page] = delivery.tick(again, AT, again, is_current=True)
    assert isinstance(page, AskPage)


def test_a_store_that_is_back_is_asked_at_once():
    delivery = in_phase(Phase.REPLAYING)
    delivery.page_failed(NOW)
    status, page = delivery.store_changed(ALL_WELL, AT, is_back=True)

    assert status == Say(frames.Status("ok", "ok"))
    assert isinstance(page, AskPage)


def test_a_store_that_knows_less_than_was_said_is_not_asked_again_at_once():
    delivery = in_phase(Phase.REPLAYING)

    assert delivery.page(a_page(), NOW, AT) == []
    assert delivery.next_deadline() == NOW + 1.5


def test_a_change_during_the_read_of_a_page_is_read_next_and_at_once():
    delivery = in_phase(Phase.ATTACHING)
    attach(delivery, start=1)
    assert isinstance(delivery.recounted(AT)[-1], AskPage)
    assert delivery.changed(an_entry(2), NOW, AT) == []

    [asked] = delivery.page(a_page(through=1), NOW, AT)

    assert isinstance(asked, AskPage)
    assert asked.wanted.after == 1
    assert delivery.next_deadline() == NOW + HEARTBEAT
    # The next page must have it; a store that still knows less lags behind.
    assert delivery.page(a_page(through=1), NOW, AT) == []
    assert delivery.next_deadline() == NOW + 1.5


def test_an_expiry_while_the_store_is_asked_is_looked_for_behind_the_answer():
    delivery = in_phase(Phase.ATTACHING)
    assert delivery.recounted(AT) == []

    assert isinstance(attach(delivery, start=4)[-1], AskPage)


def test_only_a_device_that_is_told_nothing_more_looks_when_others_are_told_otherwise():
    assert in_phase(Phase.REPLAYING).compared(7, 7, AT) == []
    live = in_phase(Phase.ATTACHING)
    attach(live, start=4)
    assert live.compared(0, 0, AT) == []

    assert isinstance(live.compared(7, 7, AT)[-1], AskPage)


def test_an_acknowledgment_on_its_way_at_a_reset_is_no_mistake():
    delivery = in_phase(Phase.LIVE)
    delivery.page(a_page(head=9, horizon=8), NOW, AT)
    attach(delivery, horizon=8)

    assert delivery.said(frames.Ack(2), NOW, AT) == []

    detail = "ack: the sequence 3 was not sent on this session."
    assert delivery.said(frames.Ack(3), NOW, AT)[0] == End(Closing.MALFORMED, detail=detail)


# --- The hops and the other nodes -----------------------------------------------------------------


def test_a_device_that_was_not_welcomed_is_told_of_a_lost_bus_when_it_is():
    delivery, lost = in_phase(Phase.ATTACHING), Hops(bus=False, store=True)
    assert delivery.bus_changed(lost, AT, is_back=False) == []

    assert in_phase(Phase.LIVE).bus_changed(lost, AT, is_back=False) == [
        Say(frames.Status("lost", "ok"))
    ]


def test_a_device_that_arrives_elsewhere_goes_here_once_the_others_know_of_it():
    delivery = in_phase(Phase.LIVE)
    delivery.echoed()

    assert delivery.arrived_elsewhere(NOW)[0] == End(Closing.REPLACED)


def test_a_device_whose_arrival_the_others_may_not_know_says_again_that_it_is_here():
    assert in_phase(Phase.ATTACHING).arrived_elsewhere(NOW + 60.0) == []

    delivery = in_phase(Phase.LIVE)

    assert delivery.arrived_elsewhere(NOW + ECHO_MAX) == []
    assert delivery.arrived_elsewhere(NOW + ECHO_MAX + 0.1) == [AnnouncePresence(delivery.since)]


@pytest.mark.parametrize(
    ("since", "rank", "is_replaced"),
    [
        (NOW + 9, "b/1", True),
        (NOW - 9, "b/1", False),
        (NOW + 0.01, "b/1", True),
        (NOW + 0.01, "A/1", False),
    ],
)
def test_of_two_connections_the_older_one_ends_and_the_younger_one_says_so(
    since, rank, is_replaced
):
    outputs = in_phase(Phase.LIVE).is_elsewhere(since, rank)

    assert outputs[0] == (End(Closing.REPLACED) if is_replaced else AnnouncePresence(NOW))


# --- Its end --------------------------------------------------------------------------------------


def is_noted(outputs: list[Output]) -> bool:
    return any(isinstance(output, NoteEnd) for output in outputs)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ENDED])
def test_the_store_is_told_of_the_end_if_it_was_asked(phase):
    was_asked = phase is not Phase.WAITING

    assert is_noted(in_phase(phase).left()) is was_asked
    assert is_noted(in_phase(phase).end(Closing.DISCONNECTED)) is was_asked


def test_the_session_stays_open_if_the_ledger_lacks_a_line():
    [end] = in_phase(Phase.LIVE).note_refused()

    assert end == End(Closing.OVERLOADED, 1.5)


def test_silence_is_pinged_and_then_the_end():
    delivery = in_phase(Phase.LIVE)
    assert delivery.next_deadline() < NOW + HEARTBEAT
    delivery.said(frames.Ack(sequence=2), NOW, AT)
    outputs = [
        delivery.tick(NOW + HEARTBEAT * times, AT, NOW, is_current=True) for times in (1, 2, 3)
    ]

    assert outputs[:2] == [[SendPing()], [SendPing()]]
    assert outputs[2][0] == End(Closing.HEARTBEAT_LOST, 1.5)


def test_without_a_peer_that_can_be_heard_there_is_no_silence():
    delivery = in_phase(Phase.WAITING)

    assert delivery.tick(NOW + HEARTBEAT, AT, math.inf, is_current=True) == []


# --- A device that stays --------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledging", Acknowledging)
def test_a_device_that_stays_without_acknowledging_is_noted_as_seen_at_intervals(acknowledging):
    delivery = a_delivery(acknowledging=acknowledging, seen_interval=100.0)
    delivery.listening()
    attach(delivery, start=3)

    times: list[float] = []
    while len(times) < 2:
        now = delivery.next_deadline()
        if outputs := delivery.tick(now, AT + 7, math.inf, is_current=True):
            assert outputs == [Note((), DeviceCursor("ann", "phone", 3, AT + 7))]
            times.append(now)
    assert times == [NOW + 100.0, NOW + 200.0]


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.ATTACHING, Phase.SETTLING, Phase.RESETTING])
def test_a_device_whose_place_is_not_known_is_not_noted_as_seen(phase):
    delivery = in_phase(phase, seen_interval=100.0)

    assert delivery.tick(NOW + 100.0, AT, math.inf, is_current=True) == []


def test_a_change_after_the_token_s_end_is_not_pushed_and_ends_the_session():
    delivery = in_phase(Phase.LIVE, expires_at=AT + 5000)
    assert delivery.next_deadline() <= NOW + 5.0

    said = delivery.changed(an_entry(3), NOW + 6.0, AT + 6000)

    assert isinstance(said, list)
    assert any(isinstance(each, End) for each in said)
