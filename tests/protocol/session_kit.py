"""Shared by the session's tests: a session with known limits, and entries for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.session import DeviceSession, Output
from tocsin.protocol.delivery.terms import SessionLimits
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import LogEntry, Push

NOW = 1000.0
AT = 1_000_000
LIMITS = SessionLimits(
    window=4,
    window_bytes=1000,
    resend=Backoff(initial=10.0, cap=60.0),
    resend_limit=3,
    delivery_attempts_max=5,
)
MIDDLE = 0.5
"""A jitter that changes nothing."""


def an_entry(
    sequence: int,
    notification: str = "",
    change: str = "created",
    size: int = 10,
    attempts: int = 0,
) -> LogEntry:
    name = notification or f"n{sequence}"
    return LogEntry(sequence, name, change, b"x" * size, 2, 1, attempts)


def a_session(start: int = 0, head: int = 0, **limits: Any) -> DeviceSession:
    """A session that has begun; without a *head* beyond its start it is live."""
    session = DeviceSession(
        "ann", "phone", start, max(start, head), replace(LIMITS, **limits), lambda: MIDDLE
    )
    session.begin()
    return session


def pushed(session: DeviceSession, entry: LogEntry, now: float = NOW) -> Push:
    """The push that a live *entry* becomes."""
    push = session.live(entry, now, AT)
    assert push is not None
    return push


def a_page(
    session: DeviceSession, *entries: LogEntry, through: int = 0, head: int = 0, now: float = NOW
) -> list[Output]:
    """Answer what the session wants with *entries*, complete up to the last unless *through*."""
    assert session.wants_page() is not None
    through = max([through, *[entry.sequence for entry in entries]])
    head = max(head, through)
    return session.page(entries, through, head, head, now, AT)


def sequences(outputs: list[Output]) -> list[int]:
    return [output.sequence for output in outputs if isinstance(output, Push)]


def time_out(session: DeviceSession) -> tuple[float, list[Output]]:
    """Let the next deadline pass; returns when that was, and what came of it."""
    at = session.next_deadline()
    return at, session.expire(at, AT)


def silence(session: DeviceSession) -> list[Output]:
    """All that comes out of a device that says nothing, up to the goodbye or the last push."""
    outputs: list[Output] = []
    while session.in_flight and Closing.UNRESPONSIVE not in outputs:
        outputs += time_out(session)[1]
    return outputs


def the_record(outputs: list[Output] | list[DeliveryRecord]) -> DeliveryRecord:
    [record] = outputs
    assert isinstance(record, DeliveryRecord)
    return record
