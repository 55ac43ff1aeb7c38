"""Commands that change notifications in the store, each with its results.

A command is a value, and safe to repeat. Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.protocol.channels.escalation import EscalationPlan
from tocsin.protocol.log.news import Position, RecipientState
from tocsin.protocol.notifications.notification import Change, Content, Patch


class Idempotency(msgspec.Struct, frozen=True):
    """A producer's idempotency *key*, its *credential*, and a digest of the request with the key.

    The digest (*fingerprint*) shows whether a second request with the key is the same. The answer
    is kept for *longer_ms* milliseconds more than others are.
    """

    credential: str
    key: str
    fingerprint: bytes
    longer_ms: int = 0


class Counters(msgspec.Struct, frozen=True):
    """The numbers of a user's unread notifications (unseen or seen) and of the unseen ones."""

    unread: int
    unseen: int


class FanOut(msgspec.Struct, frozen=True):
    """One change of one notification, in the logs of many users.

    *states* (user → state) lists the recipients whose state after the change is neither `unseen`
    nor, for a withdrawal, `withdrawn`.
    """

    content: Content
    change: Change
    positions: tuple[Position, ...]
    states: dict[str, RecipientState] = {}


class Changed(msgspec.Struct, frozen=True):
    """A publish, update or withdrawal is durable.

    *content* is that of the changed notification: for a publish that collapsed, the older one.
    *fan_outs* are in the order of each user's log. *recipients* is the number of users that the
    notification was addressed to, or of its topic's subscribers at that time. If *content* has a
    topic and *standing* is not `scheduled`, the topic's log has a new entry.
    """

    content: Content
    fan_outs: tuple[FanOut, ...]
    standing: str
    recipients: int


class Replayed(msgspec.Struct, frozen=True):
    """The command was done before, with this idempotency key, content id or name.

    *answer* is the text of the first answer.
    """

    answer: str


class KeyReused(msgspec.Struct, frozen=True):
    """The idempotency key was used for a different request; nothing was done."""


class Overdue(msgspec.Struct, frozen=True):
    """The notification was posted too late, and the post does not repeat one that was in time."""


class Origin(msgspec.Struct, frozen=True):
    """The broker message that asks for a command: its *connector*, its *place* and *key* there.

    *correlation* is the producer's own name for the message. All are text that stores keep.
    """

    connector: str
    place: str
    key: str | None = None
    correlation: str | None = None


class Publish(Command[Changed | Replayed | KeyReused | Overdue], frozen=True):
    """Make a notification known: to *users* (no duplicates), or to its content's topic.

    For users, an entry is appended to each log now, except for users who have muted the category.
    For a topic, one entry is appended to the topic's log, whatever the number of its subscribers
    (`Materialise` brings it to them). With *deliver_at* (Unix ms, in the future) both happen at
    that time (`Release`).

    With a collapse key, the notification may renew an older active one with the same key instead of
    joining it: one of the same topic, or one whose recipients are all among *users*. The older one
    keeps its id and gets the new content, the next revision, and the state `unseen`. Other
    notifications with the key are withdrawn from those *users* who have them.

    An *overdue* publish, whose content had expired when it was posted, can only be the repetition
    of one that was in time. If its idempotency key is new, the result is `Overdue`, and the key
    stays free.

    *escalation* is the plan of channels, empty for none; `None` if no channel is configured, and
    then nothing about plans is looked at. *origin* is set if a connector took it from a broker:
    then its first success is a fact for the receipts' log.
    """

    content: Content
    users: tuple[str, ...]
    credential: str
    idempotency: Idempotency | None = None
    deliver_at: int | None = None
    overdue: bool = False
    escalation: EscalationPlan | None = None
    origin: Origin | None = None


class NotFound(msgspec.Struct, frozen=True):
    """The store does not have the thing that the command or query names."""


class RevisionMismatch(msgspec.Struct, frozen=True):
    """The notification was changed meanwhile: it is at *revision* now. Nothing was done."""

    revision: int


class NotActive(msgspec.Struct, frozen=True):
    """The notification was withdrawn or has expired (*standing*), so it cannot be changed."""

    standing: str


class PatchRefused(msgspec.Struct, frozen=True):
    """The patch contradicts itself or changes nothing; *error* is the `Refused` that says which."""

    error: Exception


class Update(
    Command[Changed | Replayed | NotFound | NotActive | RevisionMismatch | PatchRefused],
    frozen=True,
):
    """Apply *patch*, if the notification is at one of *expected_revisions*.

    `None` allows every revision; an empty tuple allows none. A command with a name, *once*, is done
    once, for as long as answers to idempotency keys are kept: whatever its first result was, a
    repetition is `Replayed`. *origin* as in `Publish`.
    """

    notification: str
    patch: Patch
    now_ms: int
    expected_revisions: tuple[int, ...] | None = None
    once: str | None = None
    origin: Origin | None = None


class Withdraw(Command[Changed | Replayed | NotFound], frozen=True):
    """Take a notification back from all recipients; a repetition succeeds and changes nothing.

    *once* as in `Update`, *origin* as in `Publish`.
    """

    notification: str
    now_ms: int
    once: str | None = None
    origin: Origin | None = None


class TooMany(msgspec.Struct, frozen=True):
    """The limit *count_max* (of devices, tickets …) is reached; nothing was done."""

    count_max: int


class Done(msgspec.Struct, frozen=True):
    """The command is durable; it has no other result."""
