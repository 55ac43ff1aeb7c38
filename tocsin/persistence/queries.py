"""What can be asked of the store: queries, each with its answer.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.commands import ApiKey, Counters, NotFound
from tocsin.protocol.notification import Content


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
    expires_at: int | None


class ReadPage(msgspec.Struct, frozen=True):
    """A device's next entries after sequence *after*, oldest first.

    At most *limit* entries and, but for the first, at most *bytes_max* bytes of documents. The
    device's session began at *start*, when the log's head was *began*.

    News to the device is what was created after *start* and cannot have been sent to it: not in
    this session (it has not changed since *began*, or was created behind *after*), nor in an
    earlier one that this one goes on from (*resumed*, and the ledger has a line). News is `created`
    whatever its revision, and left out if it is withdrawn. Left out too: what has expired, what is
    dead for this device, and what it has acknowledged at its present sequence and cannot have
    lost since (`Attach`).
    """

    user: str
    device: str
    start: int
    after: int
    limit: int
    bytes_max: int
    began: int
    resumed: bool


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
    """*more*: older ones follow; *head* and *counters* are of the same moment or before."""

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
    ReadPage | InboxPage | FindInboxItem | FindNotification | ReadDeliveries | FindKey | ListKeys
)
Answer = Page | Inbox | InboxItem | ProducerView | Deliveries | ApiKey | Keys | NotFound
