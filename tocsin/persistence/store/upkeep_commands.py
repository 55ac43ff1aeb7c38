"""Commands that the clock or an operator gives to the store, each with its results.

Import these names from `tocsin.persistence.store`. When several nodes run the same command at the
same time, each does a part of the work: it passes over rows that another has locked.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, Done, NotActive, NotFound


class Expired(msgspec.Struct, frozen=True):
    """*count* notifications have expired; the next one does at *next_at* (Unix ms), if any.

    The logs of *topics* have a new entry. The counters of *users* have changed, and nothing else of
    theirs.
    """

    count: int
    next_at: int | None
    topics: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class Expire(Command[Expired], frozen=True):
    """Expire at most *limit* notifications that are due at *now_ms*.

    With *dead_letters*, a dead letter is made for each recipient to whom nothing was delivered.
    """

    now_ms: int
    limit: int
    dead_letters: bool = True


class Released(msgspec.Struct, frozen=True):
    """The published notifications; the next scheduled one is due at *next_at* (Unix ms), if any."""

    changes: tuple[Changed, ...]
    next_at: int | None


class Release(Command[Released], frozen=True):
    """Publish at most *limit* scheduled notifications that are due at *now_ms*."""

    now_ms: int
    limit: int


class Purged(msgspec.Struct, frozen=True):
    """*rows* inbox rows were forgotten; *more* says that a limit was reached: repeat the purge.

    *devices_through* is the last device that was looked at, `None` after the last one there is.
    """

    rows: int
    more: bool
    devices_through: tuple[str, str] | None = None


class Purge(Command[Purged], frozen=True):
    """Forget rows that are older than these times (Unix ms).

    One purge forgets at most *limit* inbox rows, dead letters, tickets and devices each, and ten
    times as many answers to idempotency keys.

    - Answers to idempotency keys count from when they were made, tickets from their expiry.
    - Inbox rows count from when they were archived (*archived_before*), from when they expired
      (*expired_before*), or, in any state, from when the notification was made, delivered on
      schedule or last changed (*created_before*). If a user loses an entry that a device may not
      have, the horizon of the user's log moves.
    - A notification goes with its last inbox row, and its ledger with it. One of a topic also has
      to be older than *created_before*, because users may not be up to date with the topic yet: its
      entries in the topic's log go first, and the notification goes with the next purge. Scheduled
      notifications stay.
    - Dead letters count from *created_before*.
    - Devices are removed if they were last seen before *created_before*: a purge looks at *limit*
      devices behind *devices_after* (user and device).
    - Receipts count from the fact, letters of sinks from when they were made, readers of the
      receipts' log from when they last read (*receipts_before*); the log's horizon moves.
    - A removed device is forgotten if it was last seen before *removed_before*, but only after its
      lines of the ledger, for *limit* entries of logs at a time. Until then, a session of it that
      still goes on does not make it known again.
    """

    idempotency_before: int
    tickets_before: int
    archived_before: int = 0
    expired_before: int = 0
    created_before: int = 0
    removed_before: int = 0
    receipts_before: int = 0
    devices_after: tuple[str, str] = ("", "")
    limit: int = 1000


class LetterReplayed(msgspec.Struct, frozen=True):
    """The log of *user* has reached *head*.

    If the notification had expired and lives again, it ends at *expires_at* (Unix ms).
    """

    user: str
    head: int
    expires_at: int | None = None


class ReplayLetter(Command[LetterReplayed | NotFound | NotActive], frozen=True):
    """Deliver the notification of a dead letter once more, to the letter's device or user.

    An expired notification lives again, for as long as it did the first time, for this recipient
    alone. Result: `NotFound`, or `NotActive` if the letter was settled, if the notification was
    withdrawn, or if it has expired and is of a topic.
    """

    id: int
    now_ms: int


class DiscardLetter(Command[Done | NotFound], frozen=True):
    """Settle a dead letter without delivery. A repetition is `Done` as well."""

    id: int
    now_ms: int
