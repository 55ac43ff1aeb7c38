"""What users and their devices do in the store: commands, each with its result.

Import these names from `tocsin.persistence.store`. A user is first seen by the first command that
names it; from then on it is in the topic of everyone.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Counters, Done, FanOut, NotFound, TooMany
from tocsin.protocol.cursor import Cursor, Start
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.news import AckStored, DeviceForgotten

SUBSCRIPTIONS_MAX = 1000
"""Topics of one user: every look at what is new looks at each of them."""


class Attached(msgspec.Struct, frozen=True):
    """Where the device starts. *topics* are those the user is or was in, without that of everyone.

    *horizon* is the log's: of entries up to it, some were purged. *behind*: there was more in the
    topics than one transaction should bring; `Materialise` again. *open_session*: the device's
    session before this one, if the store does not know that it has ended.
    """

    user: str
    start: Start
    head: int
    counters: Counters
    horizon: int = 0
    topics: tuple[str, ...] = ()
    behind: bool = False
    open_session: str | None = None


class AcknowledgedPartly(msgspec.Struct, frozen=True):
    """More lies before the place that was acknowledged than one transaction does: do it again.

    Result of `Attach`, which then has not let the device in yet, and of `Acknowledge`.
    """


class Attach(Command[Attached | AcknowledgedPartly | TooMany], frozen=True):
    """A device arrives: choose its start (`choose_start`), remember it, return both.

    The user is brought up to date first (`Materialise`). With a *requested* cursor that moves a
    known device forward, what lies between the two counts as acknowledged at *now_ms*; if that is
    more than one transaction does, the result is `AcknowledgedPartly`. A device that goes
    back, by a reset or an older cursor, may have lost what it acknowledged: up to the head of this
    moment, it is sent again.

    *session* is open from now until its end is recorded, and no two have one name. A device whose
    earlier one is still open may have what the ledger does not know of, up to the head of this
    moment: if that is withdrawn, the device is told (`ReadPage`).

    Where a device is new that had no name (`unnamed_device`), *unnamed_max* of the user's are kept
    and the longest unseen are removed. A new one with a name of its own is not let in where
    *named_max* of the user's are known: then the result is `TooMany`, else `Attached`.
    """

    user: str
    device: str
    requested: Cursor | None
    now_ms: int
    session: str
    unnamed_max: int | None = None
    named_max: int | None = None


class Record(Command[Done], frozen=True):
    """Write ledger lines and device cursors; unknown notifications are passed over.

    Of a session that ends, no line may follow in a later record. A line with a `dead_reason` also
    becomes a dead letter, dead since the last of the times that the record names.
    """

    deliveries: tuple[DeliveryRecord, ...]
    cursors: tuple[DeviceCursor, ...]
    ends: tuple[SessionEnd, ...] = ()


class BeyondHead(msgspec.Struct, frozen=True):
    """A sequence that the log has not reached: *head* is its last."""

    head: int


class Acknowledge(Command[AckStored | AcknowledgedPartly | NotFound | BeyondHead], frozen=True):
    """A device acknowledges without a session: everything *through* a sequence, or *ids*.

    An id is taken for the oldest change that the device was sent and has not answered: it may have
    crossed a later one. Result: `AckStored`, `AcknowledgedPartly`, `NotFound` for a device that
    never attached, `BeyondHead`.
    """

    user: str
    device: str
    through: int | None
    ids: tuple[str, ...]
    now_ms: int


class Marked(msgspec.Struct, frozen=True):
    """*changed* have another state now; *more*: the limit was reached, do the same again."""

    user: str
    changed: int
    head: int
    counters: Counters
    more: bool


class MarkInbox(Command[Marked | BeyondHead], frozen=True):
    """Give notifications another state (`protocol.marking`), each by an entry of the log.

    Those of *ids* that are the user's own; or those created up to the sequence *through*; or all,
    if neither is given. At most *limit* in one transaction, the oldest first; several commands that
    name no ids share that. The user is brought up to date first. Result: `Marked` or `BeyondHead`.
    """

    user: str
    mark: str
    now_ms: int
    ids: tuple[str, ...] | None = None
    through: int | None = None
    limit: int = 1000


class Materialised(msgspec.Struct, frozen=True):
    """What was brought, in the order of each user's log.

    Where several commands of a transaction bring users up to date, the *fan_outs* of all of them
    stand here, once, and so do those whose counters changed by what has expired (*recounted*).
    *behind* are those of its users for whom there is more than one transaction should bring.
    """

    fan_outs: tuple[FanOut, ...]
    behind: tuple[str, ...] = ()
    recounted: tuple[str, ...] = ()


class Materialise(Command[Materialised], frozen=True):
    """Bring *users* up to date with their topics: entries of topics become entries of their logs.

    A notification that came and went in the meantime leaves no trace. Exactly once, whoever does
    it and how often: a user's place in each topic moves in the same transaction.
    """

    users: tuple[str, ...]
    now_ms: int


class Subscribed(msgspec.Struct, frozen=True):
    """Result of both: *changed* are in (*joined*) or out now, and were not before.

    *refused* are users who are in `SUBSCRIPTIONS_MAX` topics already. *heads* (user → head) are of
    those who had still something to get from before. *members* are all who were named and are in
    now: also those who were in before, for the answer that said so may have been lost.
    """

    topic: str
    joined: bool
    changed: tuple[str, ...]
    refused: tuple[str, ...]
    heads: dict[str, int]
    members: tuple[str, ...] = ()


class TopicClosed(msgspec.Struct, frozen=True):
    """Only producers subscribe users to this topic."""

    topic: str


class Subscribe(Command[Subscribed | TopicClosed], frozen=True):
    """From now on *users* get what is published to *topic*; nothing from before.

    *by_user* is the users' own wish, which a closed topic does not grant: `TopicClosed`.
    """

    topic: str
    users: tuple[str, ...]
    now_ms: int
    by_user: bool = False


class Unsubscribe(Command[Subscribed], frozen=True):
    """From now on *users* do not; what they have stays, and is still updated and withdrawn."""

    topic: str
    users: tuple[str, ...]
    now_ms: int


class TopicSet(msgspec.Struct, frozen=True):
    """*topic* is as it was said, with so many *subscribers* now."""

    topic: str
    closed: bool
    subscribers: int


class SetTopic(Command[TopicSet], frozen=True):
    """Close *topic* to the wishes of users, or open it. Who is in it stays. Result: `TopicSet`."""

    topic: str
    closed: bool


class PreferencesSet(msgspec.Struct, frozen=True):
    """*user*'s log has reached *head*, with what there was still to get from before."""

    user: str
    head: int


class SetPreferences(Command[PreferencesSet], frozen=True):
    """Replace a user's preferences: which categories and topics are enabled (absent: yes).

    Holds for what is published from now on. Result: `PreferencesSet`.
    """

    user: str
    categories: dict[str, bool]
    topics: dict[str, bool]
    now_ms: int


class RemoveDevice(Command[DeviceForgotten | NotFound], frozen=True):
    """Forget a device and its cursor; the ledger's lines about it go with a later purge.

    Result: `DeviceForgotten` or `NotFound`.
    """

    user: str
    device: str
