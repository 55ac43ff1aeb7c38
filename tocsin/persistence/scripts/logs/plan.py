"""What a batch of log commands does, decided in memory and in command order.

No database here: `log_scripts` brings what is locked and read (`Held`), and writes what comes out:
an `Outcome` for each notification that a command changes. It consists of *steps*, entries in the
logs of users, or of one *entry* in the log of a topic. What publishing does, with all that can
collapse or be muted, stands in `publish_plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.store import (
    Changed,
    Expire,
    FanOut,
    NotActive,
    NotFound,
    PatchRefused,
    Publish,
    RecipientState,
    Release,
    Result,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Change, Content, Standing, State, patched
from tocsin.protocol.refusal import Refused

LogCommand = Publish | Update | Withdraw | Expire | Release
Numbered = tuple[int, LogCommand]
"""A command with its place in the batch, where its result goes."""
Deltas = Iterable[tuple[int, int]]
"""What is added to each user's (unread, unseen)."""
Slot = tuple[str, str, str]
"""Where a collapse key holds for one notification at a time: key, topic or '', user or ''."""

RENEWED: Final = "renewed"
"""The change of a topic's entry that publishes a notification anew."""
UNSEEN = RecipientState(State.UNSEEN, None, None)
_COUNTS: dict[str, tuple[int, int]] = {State.UNSEEN: (1, 1), State.SEEN: (1, 0)}


def counted(state: str) -> tuple[int, int]:
    """What a notification in *state* contributes to its recipient's (unread, unseen)."""
    return _COUNTS.get(state, (0, 0))


class Held(msgspec.Struct):
    """A notification as this transaction sees it, changed as its commands are planned.

    *recipients* are those with whom it still counts, neither withdrawn nor expired; of a topic's
    notification they are not read. *addressed* is how many it was meant for. *users* and
    *deliver_at* are of a scheduled one that may be due, or of one that is being published;
    *not_before* is when a scheduled one is to be delivered, also where it is only changed.
    """

    content: Content
    standing: str
    addressed: int
    recipients: dict[str, RecipientState] = {}
    users: tuple[str, ...] = ()
    deliver_at: int | None = None
    saved: bool = True
    not_before: int | None = None


class Step(msgspec.Struct, frozen=True):
    """One change of a notification in its recipients' logs, before sequences are known.

    *deltas* has as many items as *users* or more. *taken* is 1 if each user's log gets an entry.
    *state* is what the recipients' becomes, `None` if it stays; *states* is for the answer.
    """

    content: Content
    users: Collection[str]
    deltas: Deltas
    taken: int
    change: Change
    at: int
    state: str | None = None
    states: dict[str, RecipientState] = {}


class TopicChange(NamedTuple):
    """One entry of a topic's log, before its position is known.

    `created` is the first of its notification, and no recipient can have it; `renewed` is what a
    publish does that collapsed into it. Otherwise as a `Change`, or `expired`.
    """

    topic: str
    notification: str
    change: str
    at: int


class Outcome(msgspec.Struct):
    """What is done about one notification; `changed` answers once sequences are known.

    Where it *addresses* a topic, the topic's subscribers of that moment become its *recipients*.
    """

    number: int
    held: Held
    content: Content
    standing: str
    recipients: int
    steps: Sequence[Step] = ()
    entry: TopicChange | None = None
    addresses: bool = False
    fan_outs: list[FanOut] = []

    def changed(self) -> Changed:
        return Changed(self.content, tuple(self.fan_outs), self.standing, self.recipients)


class Plan:
    """Commands are planned one after the other; each finds what those before it have done."""

    def __init__(
        self,
        held: dict[str, Held],
        slots: dict[Slot, str] | None = None,
        muted: Collection[tuple[str, str]] = (),
    ) -> None:
        self.held = held
        self.slots = slots or {}
        """Who has each collapse key."""
        self.muted = muted
        """Users and categories."""
        self.outcomes: list[Outcome] = []
        self.settled: list[str] = []
        """Notifications that are not scheduled any more."""
        self.absorbed: list[str] = []
        """Notifications that never came to be: they collapsed into others."""

    def add(
        self,
        number: int,
        held: Held,
        steps: Sequence[Step] = (),
        entry: TopicChange | None = None,
        *,
        addresses: bool = False,
    ) -> None:
        content, standing, addressed = held.content, held.standing, held.addressed
        self.outcomes.append(
            Outcome(number, held, content, standing, addressed, steps, entry, addresses)
        )

    def update(self, number: int, update: Update) -> Result | None:
        """Plan an update; its result, if it does nothing."""
        target = self.held.get(update.notification)
        if target is None:
            return NotFound()
        if target.standing not in (Standing.ACTIVE, Standing.SCHEDULED):
            return NotActive(target.standing)
        revision, expected = target.content.revision, update.expected_revisions
        if expected is not None and revision not in expected:
            return RevisionMismatch(revision)
        try:
            target.content = patched(target.content, update.patch, update.now_ms, target.not_before)
        except Refused as error:
            return PatchRefused(error)
        target.saved = False
        self._tell(number, target, Change.UPDATED, update.now_ms)
        return None

    def withdraw(self, number: int, withdraw: Withdraw) -> Result | None:
        """Plan a withdrawal; its result, if there is nothing to withdraw."""
        target = self.held.get(withdraw.notification)
        if target is None:
            return NotFound()
        if target.standing not in (Standing.ACTIVE, Standing.SCHEDULED):
            self.add(number, target)
            return None
        told = target.standing == Standing.ACTIVE
        self.end(target, Standing.WITHDRAWN)
        self._tell(number, target, Change.WITHDRAWN, withdraw.now_ms, told=told)
        return None

    def expire(self, number: int, expire: Expire) -> None:
        due = [
            (each.content.expires_at, each.content.id, each)
            for each in self.held.values()
            if each.standing == Standing.ACTIVE and has_expired(each.content, expire.now_ms)
        ]
        due.sort(key=lambda entry: entry[:2])
        for _, id_, each in due[: expire.limit]:
            self.end(each, Standing.EXPIRED)
            if (topic := each.content.topic) is not None:
                entry = TopicChange(topic, id_, Standing.EXPIRED, expire.now_ms)
                self.add(number, each, entry=entry)
            else:
                # An expiry is no entry of anybody's log; the change is only there to have a value.
                deltas = taken_back(each.recipients.values())
                users = list(each.recipients)
                step = Step(each.content, users, deltas, 0, Change.STATE, expire.now_ms)
                self.add(number, each, [step])

    def end(self, target: Held, standing: Standing) -> None:
        if target.standing == Standing.SCHEDULED:
            self.settled.append(target.content.id)
        target.standing = standing
        target.saved = False

    def _tell(
        self, number: int, target: Held, change: Change, at: int, *, told: bool = True
    ) -> None:
        """Let those know who have *target*, if they have been *told* of it."""
        content, topic = target.content, target.content.topic
        if not told or target.standing == Standing.SCHEDULED:
            self.add(number, target)
        elif topic is not None:
            self.add(number, target, entry=TopicChange(topic, content.id, change, at))
        elif change is Change.WITHDRAWN:
            deltas = taken_back(target.recipients.values())
            step = Step(content, list(target.recipients), deltas, 1, change, at, State.WITHDRAWN)
            self.add(number, target, [step])
        else:
            states = not_unseen(target.recipients)
            deltas = [(0, 0)] * len(target.recipients)
            users = list(target.recipients)
            self.add(number, target, [Step(content, users, deltas, 1, change, at, None, states)])


def has_expired(content: Content, now_ms: int) -> bool:
    return content.expires_at is not None and content.expires_at <= now_ms


def taken_back(states: Iterable[RecipientState]) -> list[tuple[int, int]]:
    """What ending a notification takes from its recipients' counters."""
    counts = [counted(each.state) for each in states]
    return [(-unread, -unseen) for unread, unseen in counts]


def not_unseen(recipients: dict[str, RecipientState]) -> dict[str, RecipientState]:
    return {user: each for user, each in recipients.items() if each.state != State.UNSEEN}
