"""What can be changed in the store: commands, each with its result.

A command is a value, and safe to repeat. Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.protocol.cursor import Cursor, Start
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor
from tocsin.protocol.notification import Content, Patch


class Idempotency(msgspec.Struct, frozen=True):
    """Whose key it is, the key, and a digest of the request that came with it."""

    credential: str
    key: str
    fingerprint: bytes


class Counters(msgspec.Struct, frozen=True):
    """A user's unread (unseen or seen) and unseen notifications."""

    unread: int
    unseen: int


class Position(msgspec.Struct, frozen=True):
    """One recipient's place for a change: its sequence, and the counters after it."""

    user: str
    sequence: int
    unread: int
    unseen: int


class Publish(msgspec.Struct, frozen=True):
    """Append a new notification to the log of each of *users* (no duplicates among them)."""

    content: Content
    users: tuple[str, ...]
    credential: str
    answer: str
    idempotency: Idempotency | None = None


class Update(msgspec.Struct, frozen=True):
    """Make the next revision; *expected_revision* is the `If-Match`."""

    notification: str
    patch: Patch
    now_ms: int
    expected_revision: int | None = None


class Withdraw(msgspec.Struct, frozen=True):
    """Take a notification back from everybody; again is a success without changes."""

    notification: str
    now_ms: int


class Changed(msgspec.Struct, frozen=True):
    """A publish, update or withdrawal is durable; *positions* holds one place per recipient.

    *states* (user → state, for updates) lists the recipients whose state is not `unseen`.
    """

    content: Content
    positions: tuple[Position, ...]
    states: dict[str, RecipientState]


class RecipientState(msgspec.Struct, frozen=True):
    state: str
    seen_at: int | None
    read_at: int | None


class Replayed(msgspec.Struct, frozen=True):
    """It was done before, by this idempotency key or content id: the first *answer*."""

    answer: str


class KeyReused(msgspec.Struct, frozen=True):
    """The idempotency key was used for another request."""


class NotFound(msgspec.Struct, frozen=True):
    """There is no such thing."""


class RevisionMismatch(msgspec.Struct, frozen=True):
    """Somebody else changed it: it is at *revision* now."""

    revision: int


class NotActive(msgspec.Struct, frozen=True):
    """It was withdrawn or has expired (*standing*), so it cannot be changed."""

    standing: str


class PatchRefused(msgspec.Struct, frozen=True):
    """The patch contradicts itself or changes nothing; *error* is a `ProblemError`."""

    error: Exception


class Attach(msgspec.Struct, frozen=True):
    """A device arrives: choose its start (`choose_start`), remember it, return both.

    With a *requested* cursor that moves a known device forward, what lies between the two
    counts as acknowledged at *now_ms*. A device that goes back, by a reset or an older cursor, may
    have lost what it acknowledged: up to the head of this moment, it is sent again.
    """

    user: str
    device: str
    requested: Cursor | None
    now_ms: int


class Attached(msgspec.Struct, frozen=True):
    start: Start
    head: int
    counters: Counters


class Record(msgspec.Struct, frozen=True):
    """Write ledger lines and device cursors; unknown notifications are passed over."""

    deliveries: tuple[DeliveryRecord, ...]
    cursors: tuple[DeviceCursor, ...]


class Expire(msgspec.Struct, frozen=True):
    """Expire at most *limit* notifications that are due at *now_ms*; result: `Expired`."""

    now_ms: int
    limit: int


class Expired(msgspec.Struct, frozen=True):
    """How many expired, and when (Unix milliseconds) the next one will, if there is one."""

    count: int
    next_at: int | None


class Purge(msgspec.Struct, frozen=True):
    """Forget idempotency answers made before and tickets that expired before these times."""

    idempotency_before: int
    tickets_before: int


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as it is kept: never its text."""

    id: str
    hash: bytes
    scopes: tuple[str, ...]
    name: str
    created_at: int
    revoked_at: int | None = None


class CreateKey(msgspec.Struct, frozen=True):
    key: ApiKey


class RevokeKey(msgspec.Struct, frozen=True):
    """Result: `Done`, also when it was revoked before, or `NotFound`."""

    id: str
    now_ms: int


class StoredTicket(msgspec.Struct, frozen=True):
    """A ticket waiting to be used; the times are Unix milliseconds.

    *principal_expires_at* is when the token that bought it expires, if that is known.
    """

    hash: bytes
    user: str
    scopes: tuple[str, ...]
    expires_at: int
    principal_expires_at: int | None


class CreateTicket(msgspec.Struct, frozen=True):
    ticket: StoredTicket


class TakeTicket(msgspec.Struct, frozen=True):
    """Remove a ticket; result: `StoredTicket`, expired or not, or `NotFound` the second time."""

    hash: bytes


class Done(msgspec.Struct, frozen=True):
    """Durable; nothing more to say."""


Command = (
    Publish
    | Update
    | Withdraw
    | Attach
    | Record
    | Expire
    | Purge
    | CreateKey
    | RevokeKey
    | CreateTicket
    | TakeTicket
)
Result = (
    Changed
    | Replayed
    | KeyReused
    | NotFound
    | RevisionMismatch
    | NotActive
    | PatchRefused
    | Attached
    | Expired
    | StoredTicket
    | Done
)
