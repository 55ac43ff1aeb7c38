"""What a batch of log commands does, decided in memory and in command order.

No database here: `log_scripts` brings what is locked and read (`Held`), and writes what comes
out (`Step`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, assert_never

import msgspec

from tocsin.persistence.store import (
    Changed,
    Expire,
    NotActive,
    NotFound,
    PatchRefused,
    Publish,
    RecipientState,
    Result,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Change, Content, Standing, State, patched
from tocsin.protocol.problems import ProblemError

LogCommand = Publish | Update | Withdraw | Expire
Numbered = tuple[int, LogCommand]
"""A command with its place in the batch, where its result goes."""


class Held(msgspec.Struct):
    """A notification as this transaction sees it, changed as its commands are planned."""

    content: Content
    standing: str
    recipients: dict[str, RecipientState]
    saved: bool = True


class Step(NamedTuple):
    """What one command does to its recipients' logs, before sequences are known.

    *deltas* are (unread, unseen), one per user of *users* or more; *taken* is 1 if each user's log
    gets an entry. *states* is for the answer.
    """

    number: int
    content: Content
    users: Sequence[str]
    deltas: Iterable[tuple[int, int]]
    taken: int
    change: Change
    at: int
    states: dict[str, RecipientState]


UNSEEN = RecipientState(State.UNSEEN, None, None)
_COUNTS: dict[str, tuple[int, int]] = {State.UNSEEN: (1, 1), State.SEEN: (1, 0)}
"""What a notification in a state contributes to (unread, unseen)."""
_COUNTED = repeat((1, 1))
_UNCOUNTED = repeat((0, 0))


def plan(
    commands: Sequence[Numbered],
    admitted: set[int],
    held: Mapping[str, Held],
    results: list[Result],
) -> list[Step]:
    """What each command does; those that do nothing get their results at once."""
    steps: list[Step] = []
    # What was published in this batch was there to be read, but not yet for earlier commands.
    unborn = {
        command.content.id
        for number, command in commands
        if number in admitted and isinstance(command, Publish) and command.content.id in held
    }
    for number, command in commands:
        match command:
            case Publish(content=content, users=users):
                if number in admitted:
                    unborn.discard(content.id)
                    at = content.created_at
                    steps.append(Step(number, content, users, _COUNTED, 1, Change.CREATED, at, {}))
            case Expire():
                born = [each for id_, each in held.items() if id_ not in unborn]
                steps += _plan_expiry(number, command, born)
            case Update() | Withdraw():
                id_ = command.notification
                target = None if id_ in unborn else held.get(id_)
                outcome = _plan_change(number, command, target)
                if isinstance(outcome, Step):
                    steps.append(outcome)
                else:
                    results[number] = outcome
            case _:
                assert_never(command)
    return steps


def _plan_change(number: int, command: Update | Withdraw, target: Held | None) -> Step | Result:
    if target is None:
        return NotFound()
    if isinstance(command, Update):
        return _plan_update(number, command, target)
    return _plan_withdrawal(number, command, target)


def _plan_update(number: int, update: Update, target: Held) -> Step | Result:
    if target.standing != Standing.ACTIVE:
        return NotActive(target.standing)
    if update.expected_revision not in (None, target.content.revision):
        return RevisionMismatch(target.content.revision)
    try:
        target.content = patched(target.content, update.patch, update.now_ms)
    except ProblemError as error:
        return PatchRefused(error)
    target.saved = False
    users = list(target.recipients)
    states = {user: each for user, each in target.recipients.items() if each.state != State.UNSEEN}
    return Step(number, target.content, users, _UNCOUNTED, 1, Change.UPDATED, update.now_ms, states)


def _plan_withdrawal(number: int, withdraw: Withdraw, target: Held) -> Step | Result:
    if target.standing != Standing.ACTIVE:
        return Changed(target.content, (), {})
    deltas = _end(target, Standing.WITHDRAWN)
    users = list(target.recipients)
    return Step(number, target.content, users, deltas, 1, Change.WITHDRAWN, withdraw.now_ms, {})


def _plan_expiry(number: int, expire: Expire, held: Iterable[Held]) -> list[Step]:
    due = [
        (each.content.expires_at, each.content.id, each)
        for each in held
        if each.standing == Standing.ACTIVE
        and each.content.expires_at is not None
        and each.content.expires_at <= expire.now_ms
    ]
    due.sort(key=lambda entry: entry[:2])
    steps = []
    for _, _, each in due[: expire.limit]:
        deltas = _end(each, Standing.EXPIRED)
        users = list(each.recipients)
        # An expiry is no entry of anybody's log; the change is only there to have a value.
        steps.append(Step(number, each.content, users, deltas, 0, Change.STATE, expire.now_ms, {}))
    return steps


def _end(target: Held, standing: Standing) -> list[tuple[int, int]]:
    """End the life of *target*; what that takes from each recipient's counters."""
    target.standing = standing
    target.saved = False
    counted = [_COUNTS.get(each.state, (0, 0)) for each in target.recipients.values()]
    return [(-unread, -unseen) for unread, unseen in counted]
