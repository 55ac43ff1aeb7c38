"""Plans publishing, at once or on schedule: mute, collapse, create.

A collapse key stands for one notification at a time, for each topic or each recipient. A second
publish with the key renews that notification (the same id, the next revision, unseen again) if all
its recipients are among the new ones. Otherwise the older notification is withdrawn from the users
of the new publish, and stays with the others.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import repeat

from tocsin.persistence.scripts.logs.plan import (
    RENEWED,
    UNSEEN,
    Held,
    Plan,
    Step,
    TopicChange,
    has_expired,
    not_unseen,
    taken_back,
)
from tocsin.persistence.store.upkeep_commands import Release
from tocsin.protocol.notifications.marking import counted
from tocsin.protocol.notifications.notification import Change, Content, Standing, State, superseded

_COUNTED = repeat((1, 1))


def publish(plan: Plan, number: int, new: Held, at: int) -> None:
    """Plan publishing *new* at the time *at* (Unix ms), which may be that of its schedule."""
    plan.held[new.content.id] = new
    if new.deliver_at is not None and new.deliver_at > at:
        plan.add(number, new, addresses=new.content.topic is not None)
    elif new.content.topic is not None:
        _publish_to_topic(plan, number, new, new.content.topic, at)
    elif new.content.collapse_key is not None:
        _publish_collapsing(plan, number, new, new.content.collapse_key, at)
    else:
        _activate(plan, new)
        _create(plan, number, new, _unmuted(plan, new.content, new.users), at)


def release(plan: Plan, number: int, command: Release) -> None:
    """Plan publishing notifications that are due; those that have expired meanwhile only expire."""
    due = [
        (each.deliver_at, id_, each)
        for id_, each in plan.held.items()
        if each.standing == Standing.SCHEDULED
        and each.deliver_at is not None
        and each.deliver_at <= command.now_ms
    ]
    due.sort(key=lambda entry: entry[:2])
    for _, _, each in due[: command.limit]:
        if has_expired(each.content, command.now_ms):
            plan.end(each, Standing.EXPIRED)
        else:
            publish(plan, number, each, command.now_ms)


def _publish_to_topic(plan: Plan, number: int, new: Held, topic: str, at: int) -> None:
    key, id_ = new.content.collapse_key, new.content.id
    older = plan.held.get(plan.slots.get((key, topic, ""), id_)) if key is not None else None
    if older is not None and older is not new and _lives(older, at):
        _absorb(plan, new, older)
        entry = TopicChange(topic, older.content.id, RENEWED, at)
        plan.add(number, older, entry=entry, addresses=True)
        return
    _activate(plan, new)
    if key is not None:
        plan.slots[key, topic, ""] = id_
    entry = TopicChange(topic, id_, Change.CREATED, at)
    plan.add(number, new, entry=entry, addresses=True)


def _publish_collapsing(plan: Plan, number: int, new: Held, key: str, at: int) -> None:
    addressed = set(new.users)
    others = _others(plan, new, key, at)
    covered = [each for each in others if each.recipients.keys() <= addressed]
    target = max(covered, key=lambda each: (each.content.created_at, each.content.id), default=None)
    steps = [_take_from(each, new.users, at) for each in others if each is not target]
    unmuted = _unmuted(plan, new.content, new.users)
    if target is None:
        _activate(plan, new)
        _create(plan, number, new, unmuted, at, steps)
    else:
        target.addressed = len(new.users)
        _absorb(plan, new, target)
        _renew(plan, number, target, unmuted, at, steps)
    current = new if target is None else target
    # Also for users who have muted it: otherwise their keys would stand for the absorbed one.
    for user in new.users:
        plan.slots[key, "", user] = current.content.id


def _others(plan: Plan, new: Held, key: str, at: int) -> list[Held]:
    """Living notifications that have *key* for some of the users of *new*, ordered by id."""
    ids = {plan.slots.get((key, "", user), "") for user in new.users}
    found = [plan.held[id_] for id_ in sorted(ids & plan.held.keys())]
    return [
        each
        for each in found
        if each is not new and _lives(each, at) and not each.recipients.keys().isdisjoint(new.users)
    ]


def _lives(held: Held, at: int) -> bool:
    return held.standing == Standing.ACTIVE and not has_expired(held.content, at)


def _take_from(other: Held, users: Collection[str], at: int) -> Step:
    """Withdraw *other* from those of *users* who have it; without recipients left it is withdrawn
    as a whole.
    """
    taken = {user: other.recipients.pop(user) for user in users if user in other.recipients}
    if not other.recipients:
        other.standing = Standing.WITHDRAWN
        other.saved = False
    deltas = taken_back(taken.values())
    return Step(other.content, list(taken), deltas, 1, Change.WITHDRAWN, at, State.WITHDRAWN)


def _absorb(plan: Plan, new: Held, older: Held) -> None:
    """Give *older* the content of *new*, and drop *new*."""
    older.content = superseded(older.content, new.content)
    older.saved = False
    if new.standing == Standing.SCHEDULED:
        # It stays as withdrawn, because its producer knows its id and may ask for it.
        plan.renewed[new.content.id] = older.content.id
        plan.end(new, Standing.WITHDRAWN)
    else:
        plan.absorbed.append(new.content.id)
        del plan.held[new.content.id]


def _renew(
    plan: Plan, number: int, held: Held, unmuted: Collection[str], at: int, steps: list[Step]
) -> None:
    """Plan entries that make *held* new to all unmuted users, whether they have it or not.

    A user who has it and has muted its category gets an update.
    """
    content, had = held.content, dict(held.recipients)
    again = {user: had[user] for user in unmuted if user in had}
    quiet = {user: state for user, state in had.items() if user not in again}
    if again:
        deltas = [
            (1 - unread, 1 - unseen)
            for unread, unseen in (counted(state.state) for state in again.values())
        ]
        users = list(again)
        steps.append(Step(content, users, deltas, 1, Change.UPDATED, at, State.UNSEEN))
    if quiet:
        deltas, states = [(0, 0)] * len(quiet), not_unseen(quiet)
        steps.append(Step(content, list(quiet), deltas, 1, Change.UPDATED, at, None, states))
    held.recipients.update(dict.fromkeys(again, UNSEEN))
    _create(plan, number, held, [user for user in unmuted if user not in had], at, steps)


def _create(
    plan: Plan,
    number: int,
    held: Held,
    users: Collection[str],
    at: int,
    steps: Collection[Step] = (),
) -> None:
    """Plan entries that create *held* in the logs of *users*, behind *steps*."""
    held.recipients.update(dict.fromkeys(users, UNSEEN))
    created = [Step(held.content, users, _COUNTED, 1, Change.CREATED, at)] if users else []
    plan.add(number, held, [*steps, *created])


def _activate(plan: Plan, new: Held) -> None:
    if new.standing == Standing.SCHEDULED:
        plan.end(new, Standing.ACTIVE)


def _unmuted(plan: Plan, content: Content, users: Collection[str]) -> Collection[str]:
    if not plan.muted or content.priority == "critical":
        return users
    return [user for user in users if (user, content.category) not in plan.muted]
