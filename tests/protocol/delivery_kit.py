"""Shared by the tests of a delivery: one of a device, and the ways into each phase."""

from __future__ import annotations

from typing import Any

from tests.protocol.session_kit import AT, LIMITS, MIDDLE, NOW, an_entry
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.resting import RestingDelivery
from tocsin.protocol.delivery.values import Attachment, DeliveryTerms, Hops, LogPage, Output
from tocsin.protocol.log.cursor import Start

HEARTBEAT = 25.0
ALL_WELL = Hops(bus=True, store=True)


def a_delivery(**terms: Any) -> RestingDelivery:
    known: dict[str, Any] = {
        "user": "ann",
        "device": "phone",
        "connection": "7",
        "node": "a",
        "session": "a/7/1",
        "cursor": None,
        "limits": LIMITS,
        "heartbeat": HEARTBEAT,
    }
    return RestingDelivery(DeliveryTerms(**known | terms), lambda: MIDDLE, NOW, AT)


def attach(
    delivery: RestingDelivery, start: int = 0, head: int = 0, horizon: int = 0
) -> list[Output]:
    """Answer that the device starts at *start* of a log that has *head*."""
    place = Attachment("e", Start(start, None, resumed=True), max(start, head), horizon, 0, 0)
    return delivery.attached(place, 0, ALL_WELL, NOW, AT)


def a_page(*sequences: int, through: int = 0, head: int = 0, horizon: int = 0) -> LogPage:
    through = max([through, *sequences])
    entries = [an_entry(sequence) for sequence in sequences]
    return LogPage(entries, through, max(head, through), horizon, 2, 1)


def in_phase(phase: Phase, **terms: Any) -> RestingDelivery:
    """A delivery in *phase*; of one that has a session, the log has two entries."""
    delivery = a_delivery(**terms)
    if phase in (Phase.WAITING, Phase.ENDED):
        if phase is Phase.ENDED:
            delivery.end(Closing.DISCONNECTED)
        return delivery
    delivery.listening()
    if phase is Phase.SETTLING:
        delivery.unsettled()
    elif phase is not Phase.ATTACHING:
        attach(delivery, head=2)
    if phase is Phase.LIVE:
        delivery.page(a_page(1, 2), NOW, AT)
        delivery.heard_of(3, AT)
    elif phase is Phase.RESTING:
        delivery.page(a_page(1, 2), NOW, AT)
        delivery.rest(NOW)
    elif phase is Phase.RESETTING:
        delivery.page(a_page(head=9, horizon=8), NOW, AT)
    assert delivery.phase is phase
    return delivery
