"""What can be done to notifications in the store: commands, each with its result.

A command is a value, and safe to repeat. Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.protocol.news import Position, RecipientState
from tocsin.protocol.notification import Change, Content, Patch


class Idempotency(msgspec.Struct, frozen=True):
    """Whose key it is, the key, and a digest of the request that came with it."""

    credential: str
    key: str
    fingerprint: bytes


class Counters(msgspec.Struct, frozen=True):
    """A user's unread (unseen or seen) and unseen notifications."""

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

    *content* is that of the notification it was about: for a publish that collapsed, the older
    one. *fan_outs* are in the order of each user's log. *recipients* is how many the notification
    was addressed to: users, or subscribers of its topic at that time. Where *content* has a topic
    and *standing* is not `scheduled`, the topic's log has a new entry.
    """

    content: Content
    fan_outs: tuple[FanOut, ...]
    standing: str
    recipients: int


class Replayed(msgspec.Struct, frozen=True):
    """It was done before, by this idempotency key, content id or name: the first *answer*."""

    answer: str


class KeyReused(msgspec.Struct, frozen=True):
    """The idempotency key was used for another request."""


class Overdue(msgspec.Struct, frozen=True):
    """It was posted too late, and is not the repetition of what was posted in time."""


class Publish(Command[Changed | Replayed | KeyReused | Overdue], frozen=True):
    """Make a notification known: to *users* (no duplicates), or to its content's topic.

    For users it is appended to their logs now, but for those who have muted it. For a topic one
    entry is appended to the topic's log, whatever the number of subscribers (`Materialise`). With
    *deliver_at* (Unix ms, in the future) both happen later (`Release`).

    With a collapse key, an active notification with the same key and the same topic, or with
    recipients who are all among *users*, is not joined by a second one but becomes this one: same
    id, next revision, `unseen` again. From recipients of other notifications with the key, those
    are withdrawn.

    What is *overdue*, and has a key, can only be a repetition: by the time that it is posted its
    content has expired. Where its key is new it is `Overdue`, and the key stays free.
    """

    content: Content
    users: tuple[str, ...]
    credential: str
    idempotency: Idempotency | None = None
    deliver_at: int | None = None
    overdue: bool = False


class NotFound(msgspec.Struct, frozen=True):
    """There is no such thing."""


class RevisionMismatch(msgspec.Struct, frozen=True):
    """Somebody else changed it: it is at *revision* now."""

    revision: int


class NotActive(msgspec.Struct, frozen=True):
    """It was withdrawn or has expired (*standing*), so it cannot be changed."""

    standing: str


class PatchRefused(msgspec.Struct, frozen=True):
    """The patch contradicts itself or changes nothing; *error* is a `Refused`."""

    error: Exception


class Update(
    Command[Changed | Replayed | NotFound | NotActive | RevisionMismatch | PatchRefused],
    frozen=True,
):
    """Make the next revision of one of *expected_revisions*; `None` of any, none of which is none.

    What has a name of its own, *once*, is done once, whatever comes of it, for as long as answers
    to idempotency keys are kept; then it is `Replayed`.
    """

    notification: str
    patch: Patch
    now_ms: int
    expected_revisions: tuple[int, ...] | None = None
    once: str | None = None


class Withdraw(Command[Changed | Replayed | NotFound], frozen=True):
    """Take a notification back from everybody; again is a success without changes.

    *once* as in `Update`.
    """

    notification: str
    now_ms: int
    once: str | None = None


class TooMany(msgspec.Struct, frozen=True):
    """There are as many as there may be, *count_max*; nothing was done."""

    count_max: int


class Done(msgspec.Struct, frozen=True):
    """Durable; nothing more to say."""
