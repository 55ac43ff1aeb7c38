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
from typing import Any, Protocol, Self

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import (
    Changed,
    Counters,
    Done,
    FanOut,
    Idempotency,
    KeyReused,
    NotActive,
    NotFound,
    Overdue,
    PatchRefused,
    Publish,
    Replayed,
    RevisionMismatch,
    TooMany,
    Update,
    Withdraw,
)
from tocsin.persistence.store.key_commands import (
    ApiKey,
    BindTicket,
    CreateKey,
    CreateTicket,
    RevokeKey,
    RevokeTickets,
    StoredTicket,
    TakeTicket,
)
from tocsin.persistence.store.queries import (
    DeadLetter,
    Deliveries,
    Delivery,
    DeviceInfo,
    Devices,
    Entry,
    FindHead,
    FindInboxItem,
    FindKey,
    FindLetter,
    FindNotification,
    FindTopic,
    FoundLetter,
    Head,
    Inbox,
    InboxItem,
    InboxPage,
    Keys,
    Letters,
    ListDevices,
    ListKeys,
    ListLetters,
    ListSubscribers,
    ListSubscriptions,
    Page,
    Preferences,
    ProducerView,
    ReadDeliveries,
    ReadPage,
    ReadPreferences,
    SubscribedTopics,
    Subscribers,
    TopicInfo,
)
from tocsin.persistence.store.upkeep_commands import (
    DiscardLetter,
    Expire,
    Expired,
    LetterReplayed,
    Purge,
    Purged,
    Release,
    Released,
    ReplayLetter,
)
from tocsin.persistence.store.user_commands import (
    SUBSCRIPTIONS_MAX,
    Acknowledge,
    AcknowledgedPartly,
    Attach,
    Attached,
    BeyondHead,
    Marked,
    MarkInbox,
    Materialise,
    Materialised,
    PreferencesSet,
    Record,
    RemoveDevice,
    SetPreferences,
    SetTopic,
    Subscribe,
    Subscribed,
    TopicClosed,
    TopicSet,
    Unsubscribe,
)
from tocsin.protocol.errors import DescribedError
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.news import AckStored, DeviceForgotten, Position, RecipientState

__all__ = [
    "SUBSCRIPTIONS_MAX",
    "AckStored",
    "Acknowledge",
    "AcknowledgedPartly",
    "ApiKey",
    "Attach",
    "Attached",
    "BeyondHead",
    "BindTicket",
    "Changed",
    "Command",
    "Counters",
    "CreateKey",
    "CreateTicket",
    "DeadLetter",
    "Deliveries",
    "Delivery",
    "DeliveryRecord",
    "DeviceCursor",
    "DeviceForgotten",
    "DeviceInfo",
    "Devices",
    "DiscardLetter",
    "Done",
    "Entry",
    "Expire",
    "Expired",
    "FanOut",
    "FindHead",
    "FindInboxItem",
    "FindKey",
    "FindLetter",
    "FindNotification",
    "FindTopic",
    "FoundLetter",
    "Head",
    "Idempotency",
    "Inbox",
    "InboxItem",
    "InboxPage",
    "KeyReused",
    "Keys",
    "LetterReplayed",
    "Letters",
    "ListDevices",
    "ListKeys",
    "ListLetters",
    "ListSubscribers",
    "ListSubscriptions",
    "MarkInbox",
    "Marked",
    "Materialise",
    "Materialised",
    "NotActive",
    "NotFound",
    "Overdue",
    "Page",
    "PatchRefused",
    "Position",
    "Preferences",
    "PreferencesSet",
    "ProducerView",
    "Publish",
    "Purge",
    "Purged",
    "Query",
    "ReadDeliveries",
    "ReadPage",
    "ReadPreferences",
    "RecipientState",
    "Record",
    "Release",
    "Released",
    "RemoveDevice",
    "ReplayLetter",
    "Replayed",
    "Result",
    "RevisionMismatch",
    "RevokeKey",
    "RevokeTickets",
    "SessionEnd",
    "SetPreferences",
    "SetTopic",
    "Store",
    "StoreBlocked",
    "StoreFailed",
    "StoreUnavailable",
    "StoredTicket",
    "Subscribe",
    "Subscribed",
    "SubscribedTopics",
    "Subscribers",
    "TakeTicket",
    "TooMany",
    "TopicClosed",
    "TopicInfo",
    "TopicSet",
    "Unsubscribe",
    "Update",
    "Withdraw",
]

Result = (
    Changed
    | Replayed
    | KeyReused
    | Overdue
    | NotFound
    | RevisionMismatch
    | NotActive
    | PatchRefused
    | Expired
    | Released
    | Purged
    | Attached
    | BeyondHead
    | Marked
    | Materialised
    | Subscribed
    | TopicClosed
    | TopicSet
    | PreferencesSet
    | LetterReplayed
    | StoredTicket
    | TooMany
    | AckStored
    | AcknowledgedPartly
    | DeviceForgotten
    | Done
)
"""Whatever comes of a command."""


class StoreUnavailable(DescribedError):
    """The store cannot be reached, or cannot write now (disk full, read only). Try again later.

    A command may still have been committed: the connection can die between the commit and its
    answer. Every command is therefore safe to repeat; a `Publish` is known by its content's id.

    *readable* says that only writing is out of order (a full disk): questions may be answered.
    *reason*, where it is known, is for everybody: it names no place and no address. *timed_out*
    says that all the time that a call has went by without an answer.
    """

    def __init__(
        self,
        *args: object,
        readable: bool = False,
        reason: str = "",
        timed_out: bool = False,
    ) -> None:
        super().__init__(*args)
        self.readable = readable
        self.reason = reason
        self.timed_out = timed_out

    def again(self) -> Self:
        """An equal exception, to be raised elsewhere: one raised in many tasks would gather all
        their tracebacks. So who inherits keeps this constructor.
        """
        return type(self)(
            *self.args, readable=self.readable, reason=self.reason, timed_out=self.timed_out
        )


class StoreBlocked(StoreUnavailable):
    """Somebody else holds a lock on what a command changes. The store works; nothing was done."""


class StoreFailed(DescribedError):
    """The store refused what we sent it: a bug of ours, not a state of the world."""


class Store(Protocol):
    """A durable store. All methods raise `StoreUnavailable` or `StoreFailed`, nothing else.

    Cancelling a call abandons its answer, not its work: a write may still commit.
    """

    @property
    def epoch(self) -> str:
        """The incarnation of the data, the same for its whole life; known after `open`."""

    @property
    def secret(self) -> str:
        """What all nodes on this store share and nobody else knows; known after `open`.

        Made at the first opening. It is in no log, metric or answer.
        """

    @property
    def statements_run(self) -> int:
        """Statements of scripts so far, each for all its rows; to see that batches stay cheap."""

    async def open(self) -> None:
        """Connect and apply missing migrations; safe to call again after a failure."""

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        """Run *commands* in one transaction; durable when it returns.

        Raises `StoreBlocked` where somebody else's lock is in the way; *hurried* waits less for it.

        In order as far as anybody can tell: changes of logs among themselves, and what concerns
        one device. A device that attaches may see what a later command of its batch did.
        """

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Answer *queries* in order, each from one moment; two of them may be from two.

        An answer is what its query says by its type; a list of several cannot say it.
        """

    async def probe(self) -> None:
        """Touch the store as cheaply as proves that it can write."""

    async def aclose(self) -> None:
        """Let go of connections and threads; never raises for a store that is away."""
