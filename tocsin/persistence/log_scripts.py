"""Scripts that change user logs: publish, update, withdraw, expire.

A batch of them is one piece of work in five steps, whatever the number of commands:

1. *admit* the publishes: claim idempotency keys, insert notifications;
2. *hold* what the other commands name: lock it, its recipients' users, and read their states;
3. *plan*, without the database and in command order, what each command does;
4. *advance* every user's head and counters by the sum of it, which locks the users' rows and
   gives out sequences;
5. *settle*: go through the plan again, now with sequences, and write the inbox.

That a sum can be given out before its parts are numbered is what keeps the number of statements
constant, and no command is treated out of order: a user's sequences follow the order of the
commands, and what one command did to a notification is what the next one finds.

Locks are taken in one order by everybody: idempotency keys, notifications, users, inbox rows,
ledger lines, devices; within each, sorted. States are read under the users' locks, so the
counters are corrected by what is true when they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.persistence.log_plan import UNSEEN, Held, Numbered, Step, plan
from tocsin.persistence.statements import Row, Script, run
from tocsin.persistence.store import (
    Changed,
    Expire,
    Expired,
    KeyReused,
    Position,
    Publish,
    RecipientState,
    Replayed,
    Result,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Change, Content, State


def change_logs(commands: Sequence[Numbered], results: list[Result]) -> Script[None]:
    """Run *commands* and put each result in its place in *results*."""
    admitted = yield from _admit(commands, results)
    held = yield from _hold(commands, admitted)
    steps = plan(commands, admitted, held, results)
    places = yield from _advance(steps)
    yield from _settle(steps, places, results)
    yield from _save(held)
    if any(isinstance(command, Expire) for _, command in commands):
        yield from _expire(steps, commands, results)


# --- Admit --------------------------------------------------------------------------------------


def _admit(commands: Sequence[Numbered], results: list[Result]) -> Script[set[int]]:
    """The places of the publishes that are new; the others' results are in *results*."""
    publishes = [(index, each) for index, each in commands if isinstance(each, Publish)]
    if any(each.idempotency is not None for _, each in publishes):
        publishes = yield from _claim(publishes, results)
    contents = [each.content for _, each in publishes]
    inserted = yield from run(
        "notifications_insert",
        [content.id for content in contents],
        [content.revision for content in contents],
        [content.category for content in contents],
        [content.created_at for content in contents],
        [content.updated_at for content in contents],
        [content.expires_at for content in contents],
        [content.document for content in contents],
        [each.credential for _, each in publishes],
    )
    fresh = {row[0] for row in inserted}
    admitted = set()
    for index, each in publishes:
        if each.content.id in fresh:
            fresh.remove(each.content.id)
            admitted.add(index)
        else:
            # The same publish again, after its answer was lost on the way.
            results[index] = Replayed(each.answer)
    return admitted


def _claim(
    publishes: Sequence[tuple[int, Publish]], results: list[Result]
) -> Script[list[tuple[int, Publish]]]:
    """The publishes whose idempotency key is theirs, and those without one."""
    claims: dict[tuple[str, str], tuple[Any, ...]] = {}
    for _, publish in publishes:
        if (key := publish.idempotency) is not None:
            claim = (key.fingerprint, publish.answer, publish.content.id)
            claims.setdefault((key.credential, key.key), (*claim, publish.content.created_at))
    rows = yield from run(
        "idempotency_claim",
        [credential for credential, _ in claims],
        [key for _, key in claims],
        *(list(column) for column in zip(*claims.values(), strict=True)),
    )
    owners = {(row[0], row[1]): row for row in rows}
    mine = []
    for index, publish in publishes:
        if (key := publish.idempotency) is not None:
            _, _, fingerprint, answer, notification = owners[key.credential, key.key]
            if fingerprint != key.fingerprint:
                results[index] = KeyReused()
                continue
            if notification != publish.content.id:
                results[index] = Replayed(answer)
                continue
        mine.append((index, publish))
    return mine


# --- Hold ---------------------------------------------------------------------------------------


def _hold(commands: Sequence[Numbered], admitted: set[int]) -> Script[dict[str, Held]]:
    """Lock and read what updates, withdrawals and expiries are about, by notification."""
    named = {each.notification for _, each in commands if isinstance(each, Update | Withdraw)}
    expiries = [each for _, each in commands if isinstance(each, Expire)]
    if not named and not expiries:
        return {}
    rows = list((yield from run("notifications_lock", sorted(named))))
    if expiries:
        latest = max(each.now_ms for each in expiries)
        # As many more as other commands of this batch may end or postpone first, or make later.
        made = sum(
            isinstance(each, Publish) and (each.content.expires_at or latest + 1) <= latest
            for _, each in commands
        )
        most = sum(each.limit for each in expiries) + len(named) + made
        rows += yield from run("notifications_due", [latest], [most])
    held = {row[0]: Held(content_of_row(row), row[7], {}) for row in rows}
    ids = sorted(held)
    users = {row[0] for row in (yield from run("recipients", ids))}
    for index, publish in commands:
        if index in admitted and isinstance(publish, Publish):
            users.update(publish.users)
            if publish.content.id in held:
                # Its inbox rows are not written yet.
                held[publish.content.id].recipients = dict.fromkeys(publish.users, UNSEEN)
    yield from run("users_lock", sorted(users))
    for notification, user, state, seen_at, read_at in (yield from run("inbox_states", ids)):
        held[notification].recipients[user] = RecipientState(state, seen_at, read_at)
    return held


def content_of_row(row: Row) -> Content:
    """The content in the first seven columns of *row*."""
    return Content(
        id=row[0],
        revision=row[1],
        category=row[2],
        created_at=row[3],
        updated_at=row[4],
        expires_at=row[5],
        document=row[6],
    )


# --- Advance and settle -------------------------------------------------------------------------


def _advance(steps: Sequence[Step]) -> Script[dict[str, list[int]]]:
    """Move all heads and counters; each user's [head, unread, unseen] *before* that."""
    sums: dict[str, list[int]] = {}
    for step in steps:
        taken, at = step.taken, step.at
        for user, (unread, unseen) in zip(step.users, step.deltas, strict=False):
            if (total := sums.get(user)) is None:
                sums[user] = [taken, unread, unseen, at]
            else:
                total[0] += taken
                total[1] += unread
                total[2] += unseen
                total[3] = max(total[3], at)
    users = sorted(sums)
    columns = zip(*[sums[user] for user in users], strict=True)
    rows = yield from run("users_advance", users, *columns)
    for user, head, unread, unseen in rows:
        total = sums[user]
        sums[user] = [head - total[0], unread - total[1], unseen - total[2]]
    return sums


def _settle(
    steps: Sequence[Step], places: Mapping[str, list[int]], results: list[Result]
) -> Script[None]:
    """Number the entries, answer the commands, write the inbox rows."""
    notifications: list[str] = []
    users: list[str] = []
    sequences: list[int] = []
    # One row may change twice in a batch; only its last place is written.
    changes: dict[tuple[str, str], tuple[int, str, str | None]] = {}
    for step in steps:
        positions = _positions(step, places)
        if step.taken:
            results[step.number] = Changed(step.content, positions, step.states)
        if step.change is Change.CREATED:
            notifications += [step.content.id] * len(positions)
            users += step.users
            sequences += [position.sequence for position in positions]
        elif step.taken:
            state = State.WITHDRAWN if step.change is Change.WITHDRAWN else None
            for position in positions:
                entry = (position.sequence, step.change, state)
                changes[step.content.id, position.user] = entry
    yield from run("inbox_insert", notifications, users, sequences)
    yield from run(
        "inbox_save",
        [notification for notification, _ in changes],
        [user for _, user in changes],
        *(list(column) for column in zip(*changes.values(), strict=True)),
    )


def _positions(step: Step, places: Mapping[str, list[int]]) -> tuple[Position, ...]:
    taken = step.taken
    positions = []
    for user, (unread, unseen) in zip(step.users, step.deltas, strict=False):
        place = places[user]
        place[0] += taken
        place[1] += unread
        place[2] += unseen
        positions.append(Position(user, place[0], place[1], place[2]))
    return tuple(positions)


def _save(held: Mapping[str, Held]) -> Script[None]:
    """Write the notifications that were changed."""
    changed = [each for each in held.values() if not each.saved]
    yield from run(
        "notifications_save",
        [each.content.id for each in changed],
        [each.content.revision for each in changed],
        [each.content.category for each in changed],
        [each.content.updated_at for each in changed],
        [each.content.expires_at for each in changed],
        [each.content.document for each in changed],
        [each.standing for each in changed],
    )


def _expire(
    steps: Sequence[Step], commands: Sequence[Numbered], results: list[Result]
) -> Script[None]:
    """Take the expired out of the inboxes and answer."""
    expired = [step for step in steps if not step.taken]
    yield from run(
        "inbox_expire", [step.content.id for step in expired], [step.at for step in expired]
    )
    rows = yield from run("notifications_next_expiry")
    next_at = rows[0][0] if rows else None
    for index, command in commands:
        if isinstance(command, Expire):
            count = sum(step.number == index for step in expired)
            results[index] = Expired(count, next_at)
