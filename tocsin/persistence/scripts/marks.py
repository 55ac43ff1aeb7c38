"""Scripts of marks: users give other states to notifications of their inbox.

`protocol.marking` decides in memory what a mark does, from states that are read under the user's
lock. So the counters change by the states as they really are, and each change takes the next
sequence. Commands of one user act one after the other. Those that name their notifications share
one reading; a command for "all" has a round of its own, because the notifications that it is about
depend on the commands before. Nearly every batch is one round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.rows import NO_BOUND
from tocsin.persistence.scripts.statements import Row, Rows, Script, pick, run
from tocsin.persistence.scripts.user_logs import UserLog, hold_users, save_users
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import BeyondHead, Marked, MarkInbox
from tocsin.protocol.notifications.marking import counted, marked, states_changed, times
from tocsin.protocol.notifications.notification import State
from tocsin.protocol.receipts.receipt import Fact, Facts, ReceiptKind

_MARKS_SAVE: Final = pick(
    "sequence",
    "state",
    "seen_at",
    "read_at",
    "archived_at",
    notification_id="notification",
    user_id="user",
)

Numbered = tuple[int, MarkInbox]


class _InboxRow(msgspec.Struct):
    """A row of an inbox as it is being marked; *sequence* is `None` until it changes."""

    user: str
    notification: str
    created_sequence: int
    state: str
    seen_at: int | None
    read_at: int | None
    archived_at: int | None = None
    sequence: int | None = None
    was_read: bool = False

    @classmethod
    def from_row(cls, row: Row) -> _InboxRow:
        """From a row of `marks_named`, `marks_unread` or `marks_any`."""
        return cls(
            row.user_id,
            row.notification_id,
            row.created_sequence,
            row.state,
            row.seen_at,
            row.read_at,
            was_read=row.read_at is not None,
        )


_InboxRows = dict[tuple[str, str], _InboxRow]
"""By user and notification."""


def mark_inboxes(
    commands: Sequence[Numbered], results: list[Result], facts: Facts, limits: ScriptLimits
) -> Script[None]:
    """Run *commands* and put each result in its place in *results*."""
    listing = sum(command.ids is None for _, command in commands)
    rows_max = max(limits.marks_of_command_min, limits.marks_max // max(1, listing))
    commands = [(index, _limited(command, rows_max)) for index, command in commands]
    for turn in _rounds(commands):
        logs = yield from hold_users(command.user for _, command in turn)
        rows = yield from _read_rows(turn, logs)
        for index, command in turn:
            results[index] = _mark(command, logs.get(command.user), rows)
        yield from save_users(logs)
        yield from _save_rows(rows)
        facts += [
            Fact(ReceiptKind.READ, row.notification, row.user, row.read_at)
            for row in rows.values()
            if row.read_at is not None and not row.was_read
        ]


def _limited(command: MarkInbox, rows_max: int) -> MarkInbox:
    if command.ids is not None or command.limit <= rows_max:
        return command
    return msgspec.structs.replace(command, limit=rows_max)


def _rounds(commands: Sequence[Numbered]) -> list[list[Numbered]]:
    """The commands in rounds that share a reading; of one user, only commands with ids share it."""
    rounds: list[list[Numbered]] = []
    # By user, the round of the latest command, and whether it lets another one in.
    latest: dict[str, tuple[int, bool]] = {}
    for index, command in commands:
        named = command.ids is not None
        number, is_open = latest.get(command.user, (0, True))
        if command.user in latest and not (named and is_open):
            number += 1
        latest[command.user] = (number, named)
        if number == len(rounds):
            rounds.append([])
        rounds[number].append((index, command))
    return rounds


def _read_rows(turn: Sequence[Numbered], logs: dict[str, UserLog]) -> Script[_InboxRows]:
    named = {
        (command.user, notification): None
        for _, command in turn
        if command.user in logs
        for notification in command.ids or ()
    }
    rows: list[Row] = []
    rows += yield from run(
        "marks_named",
        user_id=[user for user, _ in named],
        notification_id=[id_ for _, id_ in named],
    )
    listing = [command for _, command in turn if command.ids is None and command.user in logs]
    unread = [command for command in listing if command.mark in ("seen", "read")]
    rows += yield from _list("marks_unread", unread)
    rest = [command for command in listing if command.mark not in ("seen", "read")]
    rows += yield from _list("marks_any", rest)
    return {(row.user_id, row.notification_id): _InboxRow.from_row(row) for row in rows}


def _list(name: str, commands: Sequence[MarkInbox]) -> Script[Rows]:
    """The rows that *commands* without ids are about, and one row more of each user.

    The additional row shows that the limit was reached.
    """
    return (
        yield from run(
            name,
            user_id=[command.user for command in commands],
            states=[f",{','.join(sorted(states_changed(command.mark)))}," for command in commands],
            through=[
                NO_BOUND if command.through is None else command.through for command in commands
            ],
            rows_max=[command.limit + 1 for command in commands],
        )
    )


def _mark(command: MarkInbox, log: UserLog | None, rows: _InboxRows) -> Marked | BeyondHead:
    if log is None:
        log = UserLog(0, 0, 0, (0, 0, 0))
    if command.through is not None and command.through > log.head:
        return BeyondHead(log.head)
    by_id = command.ids is not None
    changes = [
        (row, state)
        for row in _rows_of(command, rows)
        if (state := marked(row.state, command.mark, by_id=by_id)) is not None
    ]
    for row, state in changes[: command.limit]:
        _change(row, state, log, command.now_ms)
    return Marked(
        user=command.user,
        changed=min(len(changes), command.limit),
        head=log.head,
        counters=Counters(log.unread, log.unseen),
        more=len(changes) > command.limit,
    )


def _rows_of(command: MarkInbox, rows: _InboxRows) -> list[_InboxRow]:
    """The rows that *command* is about, the oldest first."""
    if command.ids is None:
        found = [row for (user, _), row in rows.items() if user == command.user]
    else:
        keys = dict.fromkeys((command.user, id_) for id_ in command.ids)
        found = [rows[key] for key in keys if key in rows]
    return sorted(found, key=lambda row: row.created_sequence)


def _change(row: _InboxRow, state: State, log: UserLog, now_ms: int) -> None:
    unread, unseen = counted(row.state)
    unread_then, unseen_then = counted(state)
    row.sequence = log.append(now_ms, unread_then - unread, unseen_then - unseen)
    row.seen_at, row.read_at = times(state, row.seen_at, row.read_at, now_ms)
    row.archived_at = now_ms if state == State.ARCHIVED else None
    row.state = state


def _save_rows(rows: _InboxRows) -> Script[None]:
    changed = [row for row in rows.values() if row.sequence is not None]
    # In the order of their keys, in which all transactions lock rows of inboxes.
    changed.sort(key=lambda row: (row.notification, row.user))
    yield from run("marks_save", **_MARKS_SAVE(changed))
