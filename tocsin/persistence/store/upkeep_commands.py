"""What the store is told to do by the clock and by operators: commands, each with its result.

Import these names from `tocsin.persistence.store`. Where many nodes do the same at the same time,
each does a part: a row that one has locked is passed over by the others.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, Done, NotActive, NotFound


class Expired(msgspec.Struct, frozen=True):
    """How many expired, and when (Unix milliseconds) the next one will, if there is one.

    *topics* got an entry in their log. Of *users* the counters have changed, and nothing else.
    """

    count: int
    next_at: int | None
    topics: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class Expire(Command[Expired], frozen=True):
    """Expire at most *limit* notifications that are due at *now_ms*; result: `Expired`.

    With *dead_letters*, each recipient to whom nothing was delivered leaves a dead letter.
    """

    now_ms: int
    limit: int
    dead_letters: bool = True


class Released(msgspec.Struct, frozen=True):
    """What was published, and when (Unix milliseconds) the next is due, if there is one."""

    changes: tuple[Changed, ...]
    next_at: int | None


class Release(Command[Released], frozen=True):
    """Publish at most *limit* scheduled notifications that are due at *now_ms*."""

    now_ms: int
    limit: int


class Purged(msgspec.Struct, frozen=True):
    """How many inbox rows went; *more*: the limit was reached, do the same again.

    *devices_through*: the last device that was looked at, unless it is the last there is.
    """

    rows: int
    more: bool
    devices_through: tuple[str, str] | None = None


class Purge(Command[Purged], frozen=True):
    """Forget what is older than these times (Unix milliseconds), at most *limit* inbox rows,
    letters, tickets and devices, and ten times as many idempotency answers.

    Idempotency answers by when they were made, tickets by their expiry. Inbox rows:
    *archived_before* by when they were archived, *expired_before* by when they expired,
    *created_before* by when the notification was made, delivered on schedule or last changed, in
    whatever state. Of users who lose what a device may not have heard of, the horizon moves.
    Notifications go with their last row, with them their ledger; but those of a topic only when
    they are older than *created_before*, for there may be users who are not up to date with it:
    first their entries in the topic's log, with the next purge they themselves. Dead letters go
    when they are older than *created_before*. What is still scheduled stays.

    Devices are removed when they were last seen before *created_before*: of *limit* devices that
    are looked at, behind *devices_after* (user and device). Those that were removed,
    and last seen before *removed_before*, are forgotten, each after what the ledger says of it, of
    *limit* entries of logs at a time: until then a session that goes on does not make them known
    again.
    """

    idempotency_before: int
    tickets_before: int
    archived_before: int = 0
    expired_before: int = 0
    created_before: int = 0
    removed_before: int = 0
    devices_after: tuple[str, str] = ("", "")
    limit: int = 1000


class LetterReplayed(msgspec.Struct, frozen=True):
    """*user*'s log has reached *head*; what lives again by it ends at *expires_at* (Unix ms)."""

    user: str
    head: int
    expires_at: int | None = None


class ReplayLetter(Command[LetterReplayed | NotFound | NotActive], frozen=True):
    """Deliver a dead letter once more, to the device or user that it was for.

    Result: `LetterReplayed`, `NotFound`, or `NotActive` where the notification was withdrawn, or
    the letter is not dead any more. An expired notification lives again, for as long as it did the
    first time, for this recipient alone; but not one of a topic, which is `NotActive`.
    """

    id: int
    now_ms: int


class DiscardLetter(Command[Done | NotFound], frozen=True):
    """Settle a dead letter without delivery; again is no harm. Result: `Done` or `NotFound`."""

    id: int
    now_ms: int
