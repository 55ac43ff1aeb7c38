"""The values of a device's session: entries of the log on the way in, pushes on the way out.

Structs instead of dataclasses, because two of these are made for every delivery: a frozen dataclass
takes ten times as long to make. They cannot take part in a cycle, so the collector may skip them.
"""

from __future__ import annotations

import msgspec


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry of the user's log, as it concerns one device.

    *attempts* are those of earlier sessions; after *expires_at* (Unix milliseconds) it is not
    pushed any more.
    """

    sequence: int
    notification_id: str
    change: str
    notification: bytes
    unread: int
    unseen: int
    attempts: int = 0
    expires_at: int | None = None


class Push(msgspec.Struct, gc=False):
    """One push in flight, and the frame's content.

    Kept until acknowledged; *notification* is the client's view as JSON, shared between the
    devices it is the same for. *tries* counts the attempts of this session, *unanswered* those
    since the device last refused it. *superseded* means that a later change of the notification
    was pushed: it is not sent again, but it is still unacknowledged, so it fills the window until
    the device says something that covers it. *older* are the sequences this one superseded.
    """

    sequence: int
    previous: int
    change: str
    attempt: int
    replay: bool
    unread: int
    unseen: int
    notification_id: str
    notification: bytes
    first_sent_at: int
    deadline: float
    expires_at: int | None = None
    tries: int = 1
    unanswered: int = 1
    dead_reason: str | None = None
    superseded: bool = False
    older: tuple[int, ...] = ()


class PageWanted(msgspec.Struct, frozen=True, gc=False):
    """Read the log behind *after*, at most *limit* entries and about *bytes_max* bytes.

    The device was told counters that count what was created up to *counted*.
    """

    after: int
    limit: int
    bytes_max: int
    counted: int


class Recounted(msgspec.Struct, frozen=True, gc=False):
    """The counters that the device was told have changed: a notification has expired."""

    unread: int
    unseen: int


class CaughtUp(msgspec.Struct, frozen=True, gc=False):
    """Everything up to *sequence* has been pushed: live from here."""

    sequence: int


def has_expired(what: LogEntry | Push, now_ms: int) -> bool:
    """Whether *what* is not to be pushed any more, at *now_ms* (Unix milliseconds)."""
    return what.expires_at is not None and what.expires_at <= now_ms
