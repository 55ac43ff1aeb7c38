"""Commands of users and their devices, each with its results.

Import these names from `tocsin.persistence.store`. The first command that names a user makes the
user known; from then on the user is in the topic of everyone.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Counters, Done, FanOut, NotFound, TooMany
from tocsin.protocol.channels.preferences import NO_PREFERENCES, ChannelPreferences
from tocsin.protocol.log.cursor import Cursor, Start
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.log.news import AckStored, DeviceForgotten

SUBSCRIPTIONS_MAX = 1000
"""Topics of one user. Bringing a user up to date looks at each of them, so they must be few."""


class Attached(msgspec.Struct, frozen=True):
    """The device has attached, at *start*. *head*, *counters* and *horizon* are of the user's log.

    *topics* are those that the user is or was in, without the topic of everyone. *behind* says that
    the topics had more entries than one transaction should bring: `Materialise` brings the rest.
    *open_session* is the device's session before this one, if the store does not know of its end.
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
    """A part of the entries was acknowledged, because there are more than one transaction may do:
    repeat the command. An `Attach` with this result has not let the device in yet.
    """


class Attach(Command[Attached | AcknowledgedPartly | TooMany], frozen=True):
    """A device arrives: choose its start (`choose_start`), remember it, return both.

    The user is brought up to date first (`Materialise`). If the *requested* cursor moves a known
    device forward, the entries up to it count as acknowledged at *now_ms*; if they are more than
    one transaction may do, the result is `AcknowledgedPartly`. A device that goes back, by a reset
    or an older cursor, may have lost entries that it acknowledged. Entries up to the head of this
    moment are therefore sent to it again.

    *session* is a unique name; the session is open until its end is recorded. If an earlier session
    of the device is still open, the device may have pushes that the ledger does not know of, up to
    the head of this moment: it is told if one of these is withdrawn (`ReadPage`).

    When a new unnamed device attaches (`unnamed_device`), *unnamed_max* of the user's unnamed
    devices are kept; the longest unseen are removed. A new device with a name is not let in if
    *named_max* of the user's are known already: the result is `TooMany`.
    """

    user: str
    device: str
    requested: Cursor | None
    now_ms: int
    session: str
    unnamed_max: int | None = None
    named_max: int | None = None


class Record(Command[Done], frozen=True):
    """Write ledger lines and device cursors; lines of unknown notifications are passed over.

    After the end of a session, no later record may have a line of it. A line with a `dead_reason`
    also becomes a dead letter, dead since the latest time that the record names.
    """

    deliveries: tuple[DeliveryRecord, ...]
    cursors: tuple[DeviceCursor, ...]
    ends: tuple[SessionEnd, ...] = ()


class BeyondHead(msgspec.Struct, frozen=True):
    """The command names a sequence that the log has not reached; *head* is the log's last one."""

    head: int


class Acknowledge(Command[AckStored | AcknowledgedPartly | NotFound | BeyondHead], frozen=True):
    """A device acknowledges without a session: all entries *through* a sequence, or *ids*.

    An id stands for the oldest change of that notification that the device was sent and has not
    answered, because the request may have crossed a later change. Result: `AckStored`,
    `AcknowledgedPartly`, `BeyondHead`, or `NotFound` for a device that never attached.
    """

    user: str
    device: str
    through: int | None
    ids: tuple[str, ...]
    now_ms: int


class Marked(msgspec.Struct, frozen=True):
    """*changed* notifications have another state now; *more* says that the limit was reached:
    repeat the command. *head* and *counters* are those of the user's log afterwards.
    """

    user: str
    changed: int
    head: int
    counters: Counters
    more: bool


class MarkInbox(Command[Marked | BeyondHead], frozen=True):
    """Give notifications another state (`protocol.marking`), each by an entry of the user's log.

    The notifications are those of *ids* that the user has, or those created up to the sequence
    *through*, or, if neither is given, all. A command marks at most *limit* of them, the oldest
    first, and less if several commands of a transaction name no ids. The user is brought up to date
    first.
    """

    user: str
    mark: str
    now_ms: int
    ids: tuple[str, ...] | None = None
    through: int | None = None
    limit: int = 1000


class Materialised(msgspec.Struct, frozen=True):
    """The new entries of users' logs, in the order of each log.

    If several commands of a transaction bring users up to date, the first result has the *fan_outs*
    of all of them. It also has *recounted*: the users whose counters changed because a notification
    had expired. *behind* are users of this command for whom there is more to bring than one
    transaction should.
    """

    fan_outs: tuple[FanOut, ...]
    behind: tuple[str, ...] = ()
    recounted: tuple[str, ...] = ()


class Materialise(Command[Materialised], frozen=True):
    """Bring *users* up to date: entries of their topics become entries of their logs.

    A notification that came and went in the meantime leaves no trace. Each entry is brought exactly
    once, however many nodes do this, because the user's place in the topic moves in the same
    transaction.
    """

    users: tuple[str, ...]
    now_ms: int


class Subscribed(msgspec.Struct, frozen=True):
    """Result of `Subscribe` and `Unsubscribe`: *changed* are users who came in (*joined*) or left.

    *refused* are users who are in `SUBSCRIPTIONS_MAX` topics already. *heads* (user → head) are of
    users whose logs got entries from before the change. *members* are all users of a `Subscribe`
    that are in the topic now, also those who were before: the answer that said so may be lost.
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
    """From now on, *users* get notifications that are published to *topic*; no earlier ones.

    *by_user* says that users ask for it themselves, which a closed topic refuses: `TopicClosed`.
    """

    topic: str
    users: tuple[str, ...]
    now_ms: int
    by_user: bool = False


class Unsubscribe(Command[Subscribed], frozen=True):
    """From now on, *users* get no notification of *topic*.

    Notifications that they have stay, and are still updated and withdrawn.
    """

    topic: str
    users: tuple[str, ...]
    now_ms: int


class TopicSet(msgspec.Struct, frozen=True):
    """*topic* is *closed* or open now, and has this number of *subscribers*."""

    topic: str
    closed: bool
    subscribers: int


class SetTopic(Command[TopicSet], frozen=True):
    """Close *topic* to the wishes of users, or open it. Its subscribers stay."""

    topic: str
    closed: bool


class PreferencesSet(msgspec.Struct, frozen=True):
    """The preferences are set. The log of *user* has reached *head*, with all entries that were
    owed by the former preferences.
    """

    user: str
    head: int


class SetPreferences(Command[PreferencesSet], frozen=True):
    """Replace a user's preferences: which categories and topics are enabled (absent: yes).

    They hold for notifications that are published from now on; those of *channels* hold for each
    send that is not carried yet.
    """

    user: str
    categories: dict[str, bool]
    topics: dict[str, bool]
    now_ms: int
    channels: ChannelPreferences = NO_PREFERENCES


class RemoveDevice(Command[DeviceForgotten | NotFound], frozen=True):
    """Forget a device and its cursor; its lines of the ledger go with a later purge.

    Result: `DeviceForgotten` or `NotFound`.
    """

    user: str
    device: str
