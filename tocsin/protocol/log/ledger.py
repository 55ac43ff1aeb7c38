"""Lines of the delivery ledger about one device, as values."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.protocol.log.push import LogEntry

ATTEMPTS_EXHAUSTED: Final = "attempts exhausted"
"""Why a push is given up that the device has not refused."""


class DeliveryRecord(msgspec.Struct, frozen=True, gc=False):
    """The ledger's line for one device and notification, in absolute values.

    *sequence* is the last change that was sent, *attempts* how often that one was, *unanswered* the
    oldest of the earlier changes that the session has sent and the device has not answered, 0 for
    none. Absolute values make the record safe to write twice and to merge: the later one wins.
    """

    user: str
    device: str
    notification: str
    sequence: int
    attempts: int
    first_sent_at: int
    acknowledged_at: int | None = None
    dead_reason: str | None = None
    unanswered: int = 0


class DeviceCursor(msgspec.Struct, frozen=True, gc=False):
    """A device has acknowledged (or was rightly spared) everything up to *sequence*."""

    user: str
    device: str
    sequence: int
    seen_at: int


class SessionEnd(msgspec.Struct, frozen=True, gc=False):
    """A device's *session* is over, and all its lines are in the ledger."""

    user: str
    device: str
    session: str


def dead_on_arrival(user: str, device: str, entry: LogEntry, now_ms: int) -> DeliveryRecord:
    """That the attempts for *entry* were used up in earlier sessions: go on behind it."""
    return DeliveryRecord(
        user,
        device,
        entry.notification_id,
        entry.sequence,
        entry.attempts,
        now_ms,
        dead_reason=ATTEMPTS_EXHAUSTED,
    )
