"""The store's port: what can be asked of it, as values.

A *command* changes something, a *query* does not. The storage actor collects many of each and hands
them over together: `Store.write` runs all its commands in one transaction, `Store.read` answers all
its queries in few statements. So nothing here is a method per use case, and every result names
what happened in a form that needs no second look at the store.

Sequences are given out by the store, in the committing transaction, under the lock of the user's
row: a user's log becomes visible in order, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tocsin.protocol.cursor import Cursor, Start
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor
from tocsin.protocol.notification import Content, Patch


class StoreUnavailable(Exception):
    """The store cannot be reached, or cannot write now (disk full, read only). Try again later.

    A command may still have been committed: the connection can die between the commit and its
    answer. Every command is therefore safe to repeat, publishing through its idempotency key.
    """


class StoreFailed(Exception):
    """The store refused what we sent it: a bug of ours, not a state of the world."""


# --- Values -------------------------------------------------------------------------------------


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


class Entry(msgspec.Struct, frozen=True):
    """One changed notification of a user's log, in its current state, for one device.

    *change* is `created` when the notification is newer than the cursor that was read from.
    *attempts* is how often this sequence was sent to the device already.
    """

    sequence: int
    notification: str
    change: str
    document: str
    state: str
    seen_at: int | None
    read_at: int | None
    attempts: int


# --- Commands, each with its result -------------------------------------------------------------


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
    """The idempotency key was used for this same request: its first *answer*."""

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

    With a *requested* cursor that moves the device forward, what was sent to this device up to it
    counts as acknowledged at *now_ms*.
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
    """Remove a ticket and return it (`StoredTicket`), expired or not; `NotFound` the second time."""

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


# --- Queries, each with its answer --------------------------------------------------------------


class ReadPage(msgspec.Struct, frozen=True):
    """A device's next entries after sequence *after*, oldest first.

    At most *limit* entries and, but for the first, at most *bytes_max* bytes of documents. *start*
    is where the device's session began: what was created after it is `created` to the device,
    and what was created and withdrawn after it is left out. Left out too: what has expired, what
    this device has acknowledged at its present sequence, and what is dead for this device.
    """

    user: str
    device: str
    start: int
    after: int
    limit: int
    bytes_max: int


class Page(msgspec.Struct, frozen=True):
    """*entries*, and the sequence *through* which they are complete.

    *through* is the head when there is nothing more, so entries that were left out are covered.
    *horizon* is the user's: a reader whose *after* is below it has lost something.
    """

    entries: tuple[Entry, ...]
    through: int
    head: int
    horizon: int
    counters: Counters


class InboxPage(msgspec.Struct, frozen=True):
    """A user's inbox, newest created first, below *before* (a created sequence) if given.

    *states* says which to list. Result: `Inbox`.
    """

    user: str
    states: tuple[str, ...]
    category: str | None
    limit: int
    before: int | None


class InboxItem(msgspec.Struct, frozen=True):
    created_sequence: int
    document: str
    state: str
    seen_at: int | None
    read_at: int | None


class Inbox(msgspec.Struct, frozen=True):
    """*more* says that older ones follow; *head* and *counters* are of the same moment or before."""

    items: tuple[InboxItem, ...]
    more: bool
    head: int
    counters: Counters


class FindInboxItem(msgspec.Struct, frozen=True):
    """One notification of one user: `InboxItem`, or `NotFound` (also for somebody else's)."""

    user: str
    notification: str


class FindNotification(msgspec.Struct, frozen=True):
    """The producer's view. Result: `ProducerView` or `NotFound`."""

    notification: str


class ProducerView(msgspec.Struct, frozen=True):
    """Counts are of recipients (users), whatever the number of their devices."""

    content: Content
    standing: str
    recipients: int
    delivered: int
    seen: int
    read: int
    expired: int
    dead: int


class ReadDeliveries(msgspec.Struct, frozen=True):
    """The ledger of one notification by user and device, behind the pair *after* if given.

    Result: `Deliveries`, or `NotFound` if there is no such notification.
    """

    notification: str
    limit: int
    after: tuple[str, str] | None


class Delivery(msgspec.Struct, frozen=True):
    """*outcome*: `acknowledged`, `dead`, `expired`, `withdrawn` or `pending`."""

    user: str
    device: str
    attempts: int
    first_sent_at: int
    acknowledged_at: int | None
    outcome: str
    reason: str | None


class Deliveries(msgspec.Struct, frozen=True):
    lines: tuple[Delivery, ...]
    more: bool


class FindKey(msgspec.Struct, frozen=True):
    """Result: `ApiKey` or `NotFound`."""

    id: str


class ListKeys(msgspec.Struct, frozen=True):
    """Result: `Keys`, oldest first."""


class Keys(msgspec.Struct, frozen=True):
    keys: tuple[ApiKey, ...]


Query = (
    ReadPage
    | InboxPage
    | FindInboxItem
    | FindNotification
    | ReadDeliveries
    | FindKey
    | ListKeys
)
Answer = Page | Inbox | InboxItem | ProducerView | Deliveries | ApiKey | Keys | NotFound


class Store(Protocol):
    """A durable store. All methods raise `StoreUnavailable` or `StoreFailed`, nothing else.

    Cancelling a call abandons its answer, not its work: a write may still commit.
    """

    @property
    def epoch(self) -> str:
        """The incarnation of the data, the same for its whole life; known after `open`."""

    async def open(self) -> None:
        """Connect and apply missing migrations; safe to call again after a failure."""

    async def write(self, commands: Sequence[Command]) -> list[Result]:
        """Run *commands*, in order, in one transaction; durable when it returns."""

    async def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer *queries* in order, each from one moment or from a few close ones."""

    async def probe(self) -> None:
        """Touch the store as cheaply as proves that it can write."""

    async def aclose(self) -> None:
        """Let go of connections and threads; never raises for a store that is away."""
