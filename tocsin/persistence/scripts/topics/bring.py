"""Scripts that bring users up to date with their topics.

A change writes one entry into a topic's log, whatever the number of subscribers; a user's place in
that log says how much of it has come into the user's own log. Bringing a user up to date reads the
entries behind the place and moves it, under the lock of the user's row, so that each entry is
brought exactly once. Commands that look at a log begin with this step; for connected users it is a
command of its own (`Materialise`).

In the usual case, new notifications only, it takes two statements for all users together: one locks
and reads, one writes. Places move to the last entry that was read, never to a topic's head, because
the topic may have got further entries since the reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.logs.topic_heads import join_everyone
from tocsin.persistence.scripts.rows import content_of_row
from tocsin.persistence.scripts.statements import Row, Rows, Script, pick, run
from tocsin.persistence.scripts.topics.plan import Bringing, Saved, changed_pairs, limited, plan
from tocsin.persistence.store.commands import FanOut
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import (
    Attach,
    Materialise,
    Materialised,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.log.news import RecipientState
from tocsin.protocol.notifications.notification import Content, State

_TOPICS_BRING: Final = pick("user_id", "topic", "position", "notification_id")
_INBOX_SAVE: Final = pick(
    "sequence", "change", "state", notification_id="notification", user_id="user"
)
_INBOX_EXPIRE_EACH: Final = pick("at", notification_id="notification", user_id="user")


class Brought(msgspec.Struct):
    """The outcome of bringing users up to date: *heads* of users whose logs have new entries;
    users that are still *behind*; and users whose counters changed by an expiry (*recounted*)."""

    heads: dict[str, int]
    behind: set[str]
    recounted: tuple[str, ...] = ()


def users_of(command: Any) -> tuple[str, ...]:
    """The users that *command* is about."""
    if isinstance(command, Materialise | Subscribe | Unsubscribe):
        return command.users
    return (command.user,)


def bring_up_to_date(
    commands: Sequence[tuple[int, Any]],
    results: list[Result],
    limits: ScriptLimits,
    *,
    locked: bool = False,
) -> Script[Brought]:
    """Bring all users of *commands* up to date, and answer those that are `Materialise`.

    Unknown users become known. *locked* says that the users are locked already, and have a row;
    otherwise they are locked here together, if a command needs their rows later.
    """
    users = sorted({user for _, command in commands for user in users_of(command)})
    if not commands:
        return Brought({}, set())
    now_ms = max(command.now_ms for _, command in commands)
    if not locked and not all(isinstance(each, Attach | Materialise) for _, each in commands):
        yield from run("users_lock", user_id=users)
    brought, fan_outs = yield from bring(users, now_ms, limits, locked=locked)
    recounted = brought.recounted
    for index, command in commands:
        if isinstance(command, Materialise):
            behind = tuple([user for user in command.users if user in brought.behind])
            results[index] = Materialised(fan_outs, behind, recounted)
            fan_outs = recounted = ()
    return brought


def bring(
    users: Sequence[str], now_ms: int, limits: ScriptLimits, *, locked: bool = False
) -> Script[tuple[Brought, tuple[FanOut, ...]]]:
    """Bring *users* (sorted) up to date, as far as one transaction should; the new entries."""
    if not users:
        return Brought({}, set()), ()
    share = min(limits.entries_of_user_max, limits.entries_max // len(users))
    rows_max = max(limits.entries_of_user_min, share)
    found = yield from run(
        "topics_pending",
        user_id=users,
        now=[now_ms] * len(users),
        entries_max=[rows_max] * len(users),
    )
    rows, behind = limited(found, rows_max)
    yield from _welcome(users, rows, now_ms, locked=locked)
    if not rows:
        return Brought({}, set()), ()
    changes = changed_pairs(rows)
    kept = yield from _kept(changes)
    bringing = plan(rows, changes, kept)
    contents = yield from _write(rows, bringing, now_ms)
    yield from _save(bringing.saved, now_ms)
    saved = bringing.saved
    recounted = {each.user: None for each in saved if not each.taken and each.unread}
    return Brought(bringing.heads, behind, tuple(recounted)), _fan_outs(bringing, contents)


def _welcome(users: Iterable[str], rows: Rows, now_ms: int, *, locked: bool) -> Script[None]:
    """Make unknown users known. A user with pending entries (*rows*) is known, so only the others
    have to be looked up.
    """
    found = {row.user_id for row in rows}
    missing = [user for user in users if user not in found]
    if locked:
        new = yield from run("users_outside", user_id=missing)
    else:
        new = yield from run("users_insert", user_id=missing, changed_at=[now_ms] * len(missing))
    yield from join_everyone([row.user_id for row in new])


def _kept(changes: Mapping[tuple[str, str], set[str]]) -> Script[dict[Any, RecipientState]]:
    rows = yield from run(
        "inbox_kept",
        notification_id=[notification for notification, _ in changes],
        user_id=[user for _, user in changes],
    )
    return {
        (row.notification_id, row.user_id): RecipientState(row.state, row.seen_at, row.read_at)
        for row in rows
    }


def _write(rows: Sequence[Row], bringing: Bringing, now_ms: int) -> Script[dict[str, Content]]:
    """Write new inbox rows and move the places of all users; the contents for the fan-outs."""
    wanted = {group.notification for group in bringing.groups.values()}
    asked: list[str | None] = []
    for row in rows:
        if row.notification_id in wanted:
            wanted.remove(row.notification_id)
            asked.append(row.notification_id)
        else:
            asked.append(None)
    found = yield from run(
        "topics_bring",
        **_TOPICS_BRING(rows),
        sequence=bringing.sequences,
        now=[now_ms] * len(rows),
        content_id=asked,
    )
    return {row.id: content_of_row(row) for row in found}


def _save(saved: Sequence[Saved], now_ms: int) -> Script[None]:
    """Write the changes of existing inbox rows, and correct the counters by them."""
    sums: dict[str, list[int]] = {}
    for each in saved:
        total = sums.setdefault(each.user, [0, 0, 0])
        total[0] += each.taken
        total[1] += each.unread
        total[2] += each.unseen
    yield from run(
        "users_advance",
        user_id=list(sums),
        taken=[taken for taken, _, _ in sums.values()],
        unread=[unread for _, unread, _ in sums.values()],
        unseen=[unseen for _, _, unseen in sums.values()],
        changed_at=[now_ms] * len(sums),
    )
    moved = [each for each in saved if each.taken]
    yield from run(
        "inbox_save", **_INBOX_SAVE(moved), anew=[each.state == State.UNSEEN for each in moved]
    )
    expired = [each for each in saved if not each.taken]
    yield from run("inbox_expire_each", **_INBOX_EXPIRE_EACH(expired))


def _fan_outs(bringing: Bringing, contents: Mapping[str, Content]) -> tuple[FanOut, ...]:
    return tuple(
        [
            FanOut(contents[group.notification], group.change, tuple(group.positions), group.states)
            for _, group in sorted(bringing.groups.items(), key=lambda item: item[0])
        ]
    )
