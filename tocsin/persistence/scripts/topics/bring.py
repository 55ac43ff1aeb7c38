"""Scripts that bring users up to date with their topics.

A topic's log is written once per change, whatever the number of subscribers; a user's place in it
says how far it has come into the user's own log. Bringing up to date reads what is behind that
place and moves it, under the lock of the user's row, so it happens exactly once. Whoever is about
to look at a log does it first; for those who are listening it is a command of its own.

In the usual case, news and nothing else, it takes two statements for all users together: one that
locks and reads, one that writes. Places move to what was read, never to a topic's head: an entry
may be there by now that was not yet when we looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.persistence.scripts.logs.topic_heads import join_everyone
from tocsin.persistence.scripts.rows import content_of_row
from tocsin.persistence.scripts.statements import Row, Rows, Script, pick, run
from tocsin.persistence.scripts.topics.plan import Bringing, Saved, changed_pairs, limited, plan
from tocsin.persistence.store import (
    Attach,
    FanOut,
    Materialise,
    Materialised,
    RecipientState,
    Result,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.notification import Content, State

_TOPICS_BRING: Final = pick("user_id", "topic", "position", "notification_id")
_INBOX_SAVE: Final = pick(
    "sequence", "change", "state", notification_id="notification", user_id="user"
)
_INBOX_EXPIRE_EACH: Final = pick("at", notification_id="notification", user_id="user")

ENTRIES_MAX = 1000
"""Entries of topics that one transaction brings, about: it holds the locks of all their users."""
ENTRIES_OF_USER_MAX = 1000
"""Entries that one transaction brings to one user, whose log is locked meanwhile."""
ENTRIES_OF_USER_MIN = 5
"""However many users share a transaction, so that it gets anywhere."""


class Brought(msgspec.Struct):
    """What bringing users up to date did: their *heads*, if they got something; who is *behind*;
    whose counters changed because something has expired (*recounted*)."""

    heads: dict[str, int]
    behind: set[str]
    recounted: tuple[str, ...] = ()


def users_of(command: Any) -> tuple[str, ...]:
    """Whom *command* is about."""
    if isinstance(command, Materialise | Subscribe | Unsubscribe):
        return command.users
    return (command.user,)


def bring_up_to_date(
    commands: Sequence[tuple[int, Any]], results: list[Result], *, locked: bool = False
) -> Script[Brought]:
    """Bring all users of *commands* up to date; answers those that ask for nothing else.

    Users that nobody knew are known from now on. Unless the users are *locked* (and have a row),
    those whose rows a command will want later are locked here together.
    """
    users = sorted({user for _, command in commands for user in users_of(command)})
    if not commands:
        return Brought({}, set())
    now_ms = max(command.now_ms for _, command in commands)
    if not locked and not all(isinstance(each, Attach | Materialise) for _, each in commands):
        yield from run("users_lock", user_id=users)
    brought, fan_outs = yield from bring(users, now_ms, locked=locked)
    recounted = brought.recounted
    for index, command in commands:
        if isinstance(command, Materialise):
            behind = tuple([user for user in command.users if user in brought.behind])
            results[index] = Materialised(fan_outs, behind, recounted)
            fan_outs = recounted = ()
    return brought


def bring(
    users: Sequence[str], now_ms: int, *, locked: bool = False
) -> Script[tuple[Brought, tuple[FanOut, ...]]]:
    """Bring *users*, sorted, up to date, as far as one transaction should."""
    if not users:
        return Brought({}, set()), ()
    rows_max = max(ENTRIES_OF_USER_MIN, min(ENTRIES_OF_USER_MAX, ENTRIES_MAX // len(users)))
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
    """Make known who is not. Who had something to get is; of the others only the store can tell."""
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
    """Write what is new and move the places of all; the contents of what is told."""
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
    """Write what changed in rows that were there, and correct the counters by it."""
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
