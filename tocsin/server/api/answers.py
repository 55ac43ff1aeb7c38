"""The answers of the HTTP API, as types: what is encoded, and what the OpenAPI document describes.

A notification is kept as JSON and only ever spliced (`protocol.notification`), so where an answer
holds one, `written` puts the text in the type's place.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.channels.quiet_hours import QuietHours
from tocsin.protocol.notifications.notification import DeviceId, Priority
from tocsin.protocol.problems import Problem

Timestamp = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC, with milliseconds", extra_json_schema={"format": "date-time"}
    ),
]
CursorText = Annotated[str, Meta(description="A place in the user's log; opaque.")]
UserState = Literal["unseen", "seen", "read", "archived", "withdrawn"]
Standing = Literal["scheduled", "active", "withdrawn", "expired"]
Health = Literal["ok", "degraded", "not_ready"]
Hop = Literal["ok", "lost", "starting", "stopping"]


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """All answers are made of these."""


class Content(Answering, frozen=True, kw_only=True):
    """A notification, the same for everybody."""

    id: str
    category: str
    title: str
    body: str | None
    data: Any
    url: str | None
    priority: Priority
    topic: str | None
    revision: int
    created_at: Timestamp
    updated_at: Timestamp
    expires_at: Timestamp | None


class Notification(Content, frozen=True, kw_only=True):
    """A notification as one of its recipients sees it."""

    state: UserState
    seen_at: Timestamp | None
    read_at: Timestamp | None


class Counts(Answering, frozen=True, kw_only=True):
    """Recipients (users), whatever the number of their devices."""

    recipients: int
    delivered: int
    seen: int
    read: int
    expired: int
    dead: int
    sent: int


class ProducerNotification(Content, frozen=True, kw_only=True):
    """A notification as its producer sees it."""

    state: Standing
    counts: Counts


class Published(Answering, frozen=True, kw_only=True):
    """The notification is durable."""

    id: str
    state: Literal["scheduled", "active"]
    recipients: int
    created_at: Timestamp


class PublishSpooled(Answering, frozen=True, kw_only=True):
    """It is kept until the store is back; *recipients* is `null` for a topic, and for all."""

    id: str
    state: Literal["scheduled", "active"]
    recipients: int | None
    created_at: Timestamp
    durability: Literal["spooled"]


class ChangeSpooled(Answering, frozen=True, kw_only=True):
    """The change is kept until the store is back, and made then, if there is what to change."""

    id: str
    durability: Literal["spooled"]


class BatchResult(Answering, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one item: an *id* with *status* 201 or 202 (spooled), else a *problem*."""

    status: int
    id: str | None = None
    replayed: bool = False
    problem: Problem | None = None


class Batch(Answering, frozen=True, kw_only=True):
    """A result for each item, in their order."""

    results: list[BatchResult]


class DeliveryLine(Answering, frozen=True, kw_only=True):
    """The ledger's line of one user and device."""

    user: str
    device: str
    attempts: int
    first_sent_at: Timestamp
    acknowledged_at: Timestamp | None
    outcome: Literal["acknowledged", "dead", "expired", "withdrawn", "pending"]
    reason: str | None


class Ledger(Answering, frozen=True, kw_only=True):
    """Lines by user and device; pass *next* as `after`."""

    deliveries: list[DeliveryLine]
    next: str | None


class SubscribersPage(Answering, frozen=True, kw_only=True):
    """Users by name; pass *next* as `after`."""

    subscribers: list[str]
    next: str | None


class SubscribersAdded(Answering, frozen=True, kw_only=True):
    """How many are in the topic now who were not; *refused* are in too many topics already."""

    added: int
    refused: list[str]


class TopicRecord(Answering, frozen=True, kw_only=True):
    """A topic; only producers subscribe users to one that is *closed*."""

    topic: str
    closed: bool
    subscribers: int


class IssuedTicket(Answering, frozen=True, kw_only=True):
    """Good for one connection; that of a stream for all of its *device* until *expires_at*."""

    ticket: str
    expires_at: Timestamp
    device: DeviceId | UnsetType = UNSET


class InboxList(Answering, frozen=True, kw_only=True):
    """A page of the inbox, the newest first; pass *next* as `before`."""

    notifications: list[Notification]
    next: str | None
    unread: int
    unseen: int
    cursor: CursorText


class Preferences(Answering, frozen=True, kw_only=True):
    """The categories, topics and channels that are enabled; those not named are."""

    categories: dict[str, bool | dict[str, bool]]
    topics: dict[str, bool]
    channels: dict[str, bool] | UnsetType = UNSET
    quiet: QuietHours | UnsetType = UNSET


class Subscription(Answering, frozen=True, kw_only=True):
    """A topic that the user is in; not *enabled* by their preferences, nothing comes from it."""

    topic: str
    enabled: bool


class Subscriptions(Answering, frozen=True, kw_only=True):
    """The user's topics, by name."""

    subscriptions: list[Subscription]


class DeviceLine(Answering, frozen=True, kw_only=True):
    """A device, and how far it has acknowledged."""

    device: str
    cursor: CursorText
    last_seen: Timestamp


class DeviceList(Answering, frozen=True, kw_only=True):
    """A page of the user's devices, by name; pass *next* as `after`."""

    devices: list[DeviceLine]
    next: str | None


class Alive(Answering, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Answering, frozen=True, kw_only=True):
    """Whether this node wants work, and each hop by name; `degraded` wants it, and is late.

    *reason* says more where only an operator can mend what is wrong.
    """

    status: Health
    hops: dict[str, Hop]
    reason: str | UnsetType = UNSET


class ConnectedDevice(Answering, frozen=True, kw_only=True):
    """A device, and the node that it is connected to."""

    device: str
    node: str
    since: Timestamp


class UserPresence(Answering, frozen=True, kw_only=True):
    """The connected devices of a user, by device and node."""

    user: str
    online: bool
    devices: list[ConnectedDevice]


class PoisonedEntry(Answering, frozen=True, kw_only=True):
    """Something that was accepted and can never be stored; *payload* is what it says, as text."""

    entry: str
    reason: str
    payload: str


class SpoolState(Answering, frozen=True, kw_only=True):
    """The entries that wait for the store, and those put aside, the newest first."""

    available: bool
    entries: int
    poisoned: list[PoisonedEntry]


class EntryReplayed(Answering, frozen=True, kw_only=True):
    """It waits for the store again, as a new entry."""

    entry: str
    status: Literal["replayed"] = "replayed"


class Mailbox(Answering, frozen=True, kw_only=True):
    """Messages that wait, and how many may."""

    waiting: int
    capacity: int


class ActorLine(Answering, frozen=True, kw_only=True):
    """An actor, and those it supervises; *child_count* counts also those left out."""

    path: str
    mailbox: Mailbox
    restarts: int
    last_error: str | None
    child_count: int
    children: list[ActorLine]


class ActorTree(Answering, frozen=True, kw_only=True):
    """The supervision tree of *node*; *nodes* are those that can be asked for."""

    node: str
    nodes: list[str]
    actors: list[ActorLine]


class LetterLine(Answering, frozen=True, kw_only=True):
    """A thing that did not arrive, of any kind.

    `delivery`: a notification; *device* is `null` where there was none. `ingest`: a message that a
    *connector* took and that cannot be stored; it has no notification, user and device. `send`: a
    send on a *channel* that was given up. `receipt`: a receipt that the receiver of a *webhook*
    refused.
    """

    id: int
    kind: Literal["delivery", "ingest", "send", "receipt"] = "delivery"
    notification: str | None
    user: str | None
    device: str | None
    cause: Literal["attempts", "expired", "refused"]
    reason: str
    attempts: int
    first_sent_at: Timestamp | None
    dead_at: Timestamp
    status: Literal["dead", "replayed", "discarded"]
    connector: str | UnsetType = UNSET
    place: str | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    webhook: str | UnsetType = UNSET


class KeptMessage(Answering, frozen=True, kw_only=True):
    """A message as a connector took it; *body* is base64 where it is no text (*encoding*)."""

    idempotency_key: str | None
    correlation: str | None
    headers: dict[str, str]
    encoding: Literal["text", "base64"]
    body: str
    cut: bool


class LetterEvent(Answering, frozen=True, kw_only=True):
    """Something that happened to a dead letter; other fields depend on the event."""

    at: Timestamp
    event: Literal["sent", "retry", "dead", "replayed", "discarded", "moved"]


class LetterList(Answering, frozen=True, kw_only=True):
    """Dead letters, the newest first; pass *next* as `before`."""

    dead_letters: list[LetterLine]
    next: int | None


class Letter(LetterLine, frozen=True, kw_only=True):
    """A dead letter with all that is known: *content* is `null` where it was purged.

    One of the kind `ingest` has its *message*, and the *problem* that it was refused with; one of
    the kind `receipt` has the *receipt*.
    """

    history: list[LetterEvent]
    content: Content | None
    message: KeptMessage | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    receipt: dict[str, Any] | UnsetType = UNSET


class LetterReplayed(Answering, frozen=True, kw_only=True):
    """It is on its way again."""

    id: int
    status: Literal["replayed"] = "replayed"


class Goodbye(Answering, frozen=True, kw_only=True, omit_defaults=True):
    """This node is going away; come back after *after* seconds, to any. *detail* is for people."""

    code: int
    reason: str
    reconnect: bool
    after: float
    detail: str = ""


def written(document: bytes | str) -> Any:
    """A notification that is JSON already, to stand where an answer's type has one."""
    return msgspec.Raw(document)
