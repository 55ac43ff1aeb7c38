"""Plans the effects of a batch of log commands, in memory and in the order of the commands.

The plan does not use the database: `change` gives it the locked notifications (`Held`), and writes
its `Outcome` for each notification that a command changes. An outcome consists of *steps*, which
are entries in the logs of users, or of one *entry* in the log of a topic. Publishing, with collapse
keys and muted categories, stands in `publish_plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.store.commands import (
    Changed,
    FanOut,
    NotActive,
    NotFound,
    PatchRefused,
    Publish,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Release
from tocsin.protocol.log.news import RecipientState
from tocsin.protocol.notifications.marking import counted
from tocsin.protocol.notifications.notification import Change, Content, Standing, State, patched
from tocsin.protocol.refusal import Refused

LogCommand = Publish | Update | Withdraw | Expire | Release
Numbered = tuple[int, LogCommand]
"""A command with its place in the batch, where its result goes."""
Deltas = Iterable[tuple[int, int]]
"""The change of each user's counters (unread, unseen), in the order of the users."""
Slot = tuple[str, str, str]
"""The scope in which one notification has a collapse key: key, topic or '', user or ''."""

RENEWED: Final = "renewed"
"""The change of an entry of a topic's log that publishes an older notification anew."""
UNSEEN = RecipientState(State.UNSEEN, None, None)


class Held(msgspec.Struct):
    """A notification within this transaction, which changes as commands are planned.

    *recipients* are the users in whose counters it counts: for them it is neither withdrawn nor
    expired. They are not read for a notification of a topic. *addressed* is the number of users or
    subscribers that it was published to. *users* and *deliver_at* are of a scheduled notification
    that may be due, or of one that is being published. *not_before* is the time (Unix ms) at which
    a scheduled one is to be delivered, also if it is only changed here.
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

    *deltas* has at least as many items as *users*. *taken* is 1 if each user's log gets an entry, 0
    for an expiry. *state* is the new state of the recipients, `None` if it stays; *states* are for
    the `FanOut`.
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

    *change* is `created` for the first entry of a notification, which no subscriber can have yet;
    `renewed` if a publish has collapsed into it; `expired`; or else a `Change`.
    """

    topic: str
    notification: str
    change: str
    at: int


class Outcome(msgspec.Struct):
    """The effect of one command on one notification; `changed` can be called once its entries have
    sequences.

    If it *addresses* a topic, the number of the topic's subscribers of that moment becomes its
    *recipients*.
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
        """Slot → the id of the notification that has the collapse key there."""
        self.muted = muted
        """Pairs of a user and a category that the user has muted."""
        self.outcomes: list[Outcome] = []
        self.settled: list[str] = []
        """Ids of notifications that are not scheduled any more."""
        self.absorbed: list[str] = []
        """Ids of new notifications that collapsed into older ones, and are deleted."""
        self.renewed: dict[str, str] = {}
        """Id of a scheduled notification that collapsed into an older one → the id of that."""

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
        """Plan an update; its result, if it changes nothing."""
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
            if target.standing == Standing.EXPIRED:
                # Its recipients have it no more; from now on no dead letter of it can be replayed.
                self.end(target, Standing.WITHDRAWN)
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
                # An expiry is no entry of a log, so its change is never read; it has to have one.
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
        """Plan entries about *target* for its recipients, if they were *told* of it before."""
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
    """The changes of the recipients' counters when a notification ends, from their states."""
    counts = [counted(each.state) for each in states]
    return [(-unread, -unseen) for unread, unseen in counts]


def not_unseen(recipients: dict[str, RecipientState]) -> dict[str, RecipientState]:
    return {user: each for user, each in recipients.items() if each.state != State.UNSEEN}
