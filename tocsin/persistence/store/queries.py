"""Queries of the store, each with its answer.

An answer is of one moment. A list that is read in several pages is not; each of its pages is.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Query
from tocsin.persistence.store.commands import Counters, NotFound
from tocsin.persistence.store.escalation_commands import Address, SendLine
from tocsin.persistence.store.key_commands import ApiKey
from tocsin.protocol.channels.preferences import NO_PREFERENCES, ChannelPreferences
from tocsin.protocol.notifications.notification import Content


class Entry(msgspec.Struct, frozen=True):
    """One changed notification of a user's log, in its current state, for one device.

    *change* is `created` if the notification is newer than the cursor that was read from.
    *attempts* is how often this sequence was sent to the device so far. Times are Unix ms.
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

    If there are no more entries, *through* is the head, so that entries at the end that were left
    out are covered. *horizon* is that of the user's log: a device whose cursor is below it has
    lost entries. All fields, *counters* too, are of the moment when the log ended at *head*.
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

    The first line that fits decides how a notification appears (the same table stands over the
    statement `pages`):

        it has expired; or the device was given up for it; or the device has
            acknowledged its present sequence and cannot have lost it (`Attach`)    left out
        it was withdrawn, and the device may have it or has counted it              `withdrawn`
        it was withdrawn                                                            left out
        it is news to the device                                                    `created`
        anything else                                                               its own change

    - *News* was created after *start* and cannot have been sent to the device: not in this session
      (it has not changed since *began*, or was created behind *after*), and, if the session goes on
      from an earlier one (*resumed*), not in that (the ledger has no line).
    - The device *may have* a notification that is no news, or that a session which did not end in
      order may have sent without a line in the ledger (*resumed*, and see `Attach`).
    - The device *has counted* a notification that was created up to the sequence *counted* and
      withdrawn behind it: the counters that it was told include it, and only a push corrects them.
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
    """A page of the inbox; *more* says that older items follow. All fields are of one moment.

    *behind* says that the user's topics have entries that are not in the user's log yet
    (`Materialise` brings them), or that the user is not known yet.
    """

    items: tuple[InboxItem, ...]
    more: bool
    head: int
    counters: Counters
    behind: bool = False


class InboxPage(Query[Inbox], frozen=True):
    """A user's inbox, newest created first, below *before* (a created sequence) if given.

    Only items in one of *states* are listed, and only of *category* if that is given; items that
    have expired by *now_ms* are left out. At most *limit* items and, but for the first, at most
    *bytes_max* bytes of documents.
    """

    user: str
    states: tuple[str, ...]
    category: str | None
    limit: int
    before: int | None
    now_ms: int
    bytes_max: int = 2**63 - 1


class FindInboxItem(Query[InboxItem | NotFound], frozen=True):
    """One notification of one user; `NotFound` if it is not in that user's inbox."""

    user: str
    notification: str
    now_ms: int


class Head(msgspec.Struct, frozen=True):
    """The end of a user's log; *head*, *counters* and *behind* are as in `Inbox`.

    *topics* is how many topics the user is in or has been in, without the topic of everyone.
    """

    head: int
    counters: Counters
    behind: bool
    topics: int = 0


class FindHead(Query[Head], frozen=True):
    """The head of a user's log; a user that the store does not know has an empty log."""

    user: str


class DeviceInfo(msgspec.Struct, frozen=True):
    """A device of a user: *acknowledged* is its cursor, a sequence; *last_seen* is Unix ms."""

    device: str
    acknowledged: int
    last_seen: int


class Devices(msgspec.Struct, frozen=True):
    devices: tuple[DeviceInfo, ...]
    more: bool = False


class ListDevices(Query[Devices], frozen=True):
    """A user's devices by name, behind *after* if given, at most *limit*; or only one, *named*."""

    user: str
    limit: int = 1000
    after: str | None = None
    named: str | None = None


class SubscribedTopics(msgspec.Struct, frozen=True):
    topics: tuple[str, ...]


class ListSubscriptions(Query[SubscribedTopics], frozen=True):
    """The topics of a user by name, without the topic of everyone.

    With *left_too* also topics that the user has left.
    """

    user: str
    left_too: bool = False


class TopicInfo(msgspec.Struct, frozen=True):
    """A topic; *closed* says that only producers may subscribe users to it."""

    topic: str
    closed: bool
    subscribers: int


class FindTopic(Query[TopicInfo], frozen=True):
    """One topic. A topic that the store does not know is open and has no subscribers."""

    topic: str


class Subscribers(msgspec.Struct, frozen=True):
    users: tuple[str, ...]
    more: bool


class ListSubscribers(Query[Subscribers], frozen=True):
    """The users in a topic by name, behind *after* if given, at most *limit*."""

    topic: str
    limit: int
    after: str | None


class Preferences(msgspec.Struct, frozen=True):
    """A user's preferences as last set: name → enabled. An absent name is enabled."""

    categories: dict[str, bool]
    topics: dict[str, bool]
    channels: ChannelPreferences = NO_PREFERENCES


class ReadPreferences(Query[Preferences], frozen=True):
    """The preferences of a user; empty for a user who has set none."""

    user: str


class ProducerView(msgspec.Struct, frozen=True):
    """A notification as its producer sees it; the counts are of users, not of their devices."""

    content: Content
    standing: str
    recipients: int
    delivered: int
    seen: int
    read: int
    expired: int
    dead: int
    sent: int = 0


class FindNotification(Query[ProducerView | NotFound], frozen=True):
    """The producer's view of one notification."""

    notification: str


class Delivery(msgspec.Struct, frozen=True):
    """A line of the ledger; times are Unix ms.

    *outcome* is `acknowledged`, `dead`, `expired`, `withdrawn` or `pending`; *reason* is that of a
    `dead` one.
    """

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
    """The ledger of one notification by user and device, behind the pair *after* if given, at most
    *limit* lines; `NotFound` if there is no such notification.
    """

    notification: str
    limit: int
    after: tuple[str, str] | None


class DeadLetter(msgspec.Struct, frozen=True):
    """A notification that did not arrive, and the attempts to deliver it. Times are Unix ms.

    *device* is `None` if the notification expired before any device had it. *cause* is `attempts`
    or `expired`; *reason* is a text with more about it. *history* is JSON, a list of
    `{"at","event",…}` with the events `sent` (the first attempt), `dead`, `replayed`, `discarded`.
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

    At most *limit*, of *user* and *notification* if these are given. *status* is `dead`,
    `replayed`, `discarded`, or `None` for all.
    """

    limit: int
    before: int | None = None
    status: str | None = "dead"
    user: str | None = None
    notification: str | None = None


class FoundLetter(msgspec.Struct, frozen=True):
    """A dead letter with its notification's *document*, by which an operator decides about it."""

    letter: DeadLetter
    document: str | None


class FindLetter(Query[FoundLetter | NotFound], frozen=True):
    """One dead letter."""

    id: int


class FindKey(Query[ApiKey | NotFound], frozen=True):
    """One API key."""

    id: str


class Keys(msgspec.Struct, frozen=True):
    keys: tuple[ApiKey, ...]


class ListKeys(Query[Keys], frozen=True):
    """All API keys, the oldest first."""


class ReadClock(Query[int], frozen=True):
    """The time of the store's own clock (Unix milliseconds)."""


class Addresses(msgspec.Struct, frozen=True):
    """A user's addresses, by channel and name."""

    addresses: tuple[Address, ...]


class ListAddresses(Query[Addresses], frozen=True):
    """The addresses of *user*, on all channels."""

    user: str


class SendsPage(msgspec.Struct, frozen=True):
    """Sends of a notification, by id; *more* says that others follow."""

    sends: tuple[SendLine, ...]
    more: bool


class ListSends(Query[SendsPage | NotFound], frozen=True):
    """The sends of a notification, behind the id *after*, *limit* at most; `NotFound` without the
    notification."""

    notification: str
    limit: int
    after: str | None = None
