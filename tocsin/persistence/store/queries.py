"""What can be asked of the store: queries, each with its answer.

All that is in an answer is of one moment. Of a list that is read in several pages, each page is.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Query
from tocsin.persistence.store.commands import Counters, NotFound
from tocsin.persistence.store.key_commands import ApiKey
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


class Page(msgspec.Struct, frozen=True):
    """*entries*, and the sequence *through* which they are complete.

    *through* is the head when there is nothing more, so entries that were left out are covered.
    *horizon* is the user's: a reader whose *after* is below it has lost something. All is of the
    moment when the log ended at *head*, *counters* too.
    """

    entries: tuple[Entry, ...]
    through: int
    head: int
    horizon: int
    counters: Counters


class ReadPage(Query[Page], frozen=True):
    """A device's next entries after sequence *after*, oldest first.

    At most *limit* entries and, but for the first, at most *bytes_max* bytes of documents. The
    device's session began at *start*, when the log's head was *began*.

    News to the device is what was created after *start* and cannot have been sent to it: not in
    this session (it has not changed since *began*, or was created behind *after*), nor in an
    earlier one that this one goes on from (*resumed*, and the ledger has a line). News is `created`
    whatever its revision, and left out if it is withdrawn; unless that happened after it was
    *counted*: the counters that the device was told know what was created up to there, and only a
    push corrects them; and unless an earlier session may have sent it without the ledger knowing
    (*resumed*, and see `Attach`). Left out too: what has expired, what is dead for this device, and
    what it has acknowledged at its present sequence and cannot have lost since (`Attach`).
    """

    user: str
    device: str
    start: int
    after: int
    limit: int
    bytes_max: int
    began: int
    resumed: bool
    counted: int


class InboxItem(msgspec.Struct, frozen=True):
    created_sequence: int
    document: str
    state: str
    seen_at: int | None
    read_at: int | None


class Inbox(msgspec.Struct, frozen=True):
    """*more*: older ones follow; *head* and *counters* are of the same moment as *items*.

    *behind*: there are entries in the user's topics that are not in the log yet (`Materialise`),
    or the user is not known yet.
    """

    items: tuple[InboxItem, ...]
    more: bool
    head: int
    counters: Counters
    behind: bool = False


class InboxPage(Query[Inbox], frozen=True):
    """A user's inbox, newest created first, below *before* (a created sequence) if given.

    *states* says which to list; what has expired by *now_ms* is left out. At most *limit* items
    and, but for the first, at most *bytes_max* bytes of documents. Result: `Inbox`.
    """

    user: str
    states: tuple[str, ...]
    category: str | None
    limit: int
    before: int | None
    now_ms: int
    bytes_max: int = 2**63 - 1


class FindInboxItem(Query[InboxItem | NotFound], frozen=True):
    """One notification of one user: `InboxItem`, or `NotFound` (also for somebody else's)."""

    user: str
    notification: str
    now_ms: int


class Head(msgspec.Struct, frozen=True):
    """As in `Inbox`, without the items."""

    head: int
    counters: Counters
    behind: bool


class FindHead(Query[Head], frozen=True):
    """Where a user's log stands. Result: `Head`, also for a user never seen."""

    user: str


class DeviceInfo(msgspec.Struct, frozen=True):
    """*acknowledged* is the device's cursor, a sequence; *last_seen* in Unix milliseconds."""

    device: str
    acknowledged: int
    last_seen: int


class Devices(msgspec.Struct, frozen=True):
    devices: tuple[DeviceInfo, ...]
    more: bool = False


class ListDevices(Query[Devices], frozen=True):
    """A user's devices by name, behind *after* if given, at most *limit*; or only the one *named*.

    Result: `Devices`.
    """

    user: str
    limit: int = 1000
    after: str | None = None
    named: str | None = None


class SubscribedTopics(msgspec.Struct, frozen=True):
    topics: tuple[str, ...]


class ListSubscriptions(Query[SubscribedTopics], frozen=True):
    """Result: `SubscribedTopics`, by name, without that of everyone."""

    user: str


class TopicInfo(msgspec.Struct, frozen=True):
    """*closed*: only producers subscribe users to it."""

    topic: str
    closed: bool
    subscribers: int


class FindTopic(Query[TopicInfo], frozen=True):
    """Result: `TopicInfo`, also for a topic that nobody knows: it is open, and nobody in it."""

    topic: str


class Subscribers(msgspec.Struct, frozen=True):
    users: tuple[str, ...]
    more: bool


class ListSubscribers(Query[Subscribers], frozen=True):
    """The users in a topic by name, behind *after* if given. Result: `Subscribers`."""

    topic: str
    limit: int
    after: str | None


class Preferences(msgspec.Struct, frozen=True):
    """As last set: name → enabled."""

    categories: dict[str, bool]
    topics: dict[str, bool]


class ReadPreferences(Query[Preferences], frozen=True):
    """Result: `Preferences`."""

    user: str


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


class FindNotification(Query[ProducerView | NotFound], frozen=True):
    """The producer's view. Result: `ProducerView` or `NotFound`."""

    notification: str


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


class ReadDeliveries(Query[Deliveries | NotFound], frozen=True):
    """The ledger of one notification by user and device, behind the pair *after* if given.

    Result: `Deliveries`, or `NotFound` if there is no such notification.
    """

    notification: str
    limit: int
    after: tuple[str, str] | None


class DeadLetter(msgspec.Struct, frozen=True):
    """A notification that did not arrive, and what was tried.

    *device* is `None` where no device was there: the notification expired. *cause* is `attempts`
    or `expired`, *reason* what is known beyond that. *history* is JSON, a list of
    `{"at","event",…}` with the events `sent` (first attempt), `dead`, `replayed`, `discarded`.
    """

    id: int
    notification: str
    user: str
    device: str | None
    cause: str
    reason: str
    attempts: int
    first_sent_at: int | None
    dead_at: int
    status: str
    history: str


class Letters(msgspec.Struct, frozen=True):
    letters: tuple[DeadLetter, ...]
    more: bool


class ListLetters(Query[Letters], frozen=True):
    """Dead letters, the newest first, with ids below *before* if given.

    *status* is `dead`, `replayed`, `discarded`, or `None` for all. Result: `Letters`.
    """

    limit: int
    before: int | None = None
    status: str | None = "dead"
    user: str | None = None
    notification: str | None = None


class FoundLetter(msgspec.Struct, frozen=True):
    """*document* is the notification's, for whoever has to decide."""

    letter: DeadLetter
    document: str | None


class FindLetter(Query[FoundLetter | NotFound], frozen=True):
    """Result: `FoundLetter` or `NotFound`."""

    id: int


class FindKey(Query[ApiKey | NotFound], frozen=True):
    """Result: `ApiKey` or `NotFound`."""

    id: str


class Keys(msgspec.Struct, frozen=True):
    keys: tuple[ApiKey, ...]


class ListKeys(Query[Keys], frozen=True):
    """Result: `Keys`, oldest first."""
