"""The script of a purge: it forgets rows that are older than their retention, some at a time.

An inbox row goes for one of three reasons: it was archived long ago, it expired long ago, or its
notification is old. Rows are chosen without locks, through an index for each reason. So a purge
without work costs a look at the ends of some indexes, and at a slice of the devices, which have no
index by age. Then the notifications and users of the chosen rows are locked in the usual order, and
those rows are forgotten for which the reason still holds: a user may have taken one out of the
archive in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tocsin.persistence.scripts.receipts import purge_receipts
from tocsin.persistence.scripts.statements import Rows, Script, pick, run
from tocsin.persistence.scripts.user_logs import hold_users
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Purge, Purged
from tocsin.protocol.notifications.marking import counted

_PURGE_DEVICES: Final = pick("user_id", "device_id")
_PURGE_LINES: Final = pick("user_id", "device_id", "cleared")
_DEVICES_CLEARED: Final = pick("user_id", "device_id", "cleared")
_DEVICES_DROP: Final = pick("user_id", "device_id")
_PURGE_USERS: Final = pick("unread", "unseen", "horizon")

_ANSWERS_PER_ROW = 10
"""Answers to idempotency keys for each inbox row: they are cheaper to forget, and more."""

_DEVICES_AT_A_TIME = 20
"""Removed devices in one purge. They share its limit of entries, so they must be few."""


class _Loss(msgspec.Struct):
    """The loss of one user: counts, and as *horizon* the last entry that a device may not have."""

    unread: int = 0
    unseen: int = 0
    horizon: int = 0


def purge(commands: Sequence[tuple[int, Purge]], results: list[Result]) -> Script[None]:
    """Run *commands* one after the other; a batch seldom has more than one."""
    for index, command in commands:
        answers_max = _ANSWERS_PER_ROW * command.limit
        answers = yield from _purge("idempotency_purge", command.idempotency_before, answers_max)
        tickets = yield from _purge("tickets_purge", command.tickets_before, command.limit)
        chosen = yield from _choose(command)
        rows = yield from _forget(dict.fromkeys(chosen), command)
        letters = yield from _purge("purge_letters", command.created_before, command.limit)
        messages = yield from _purge("ingest_purge", command.created_before, command.limit)
        through = yield from _remove_unseen(command)
        unfinished = yield from _forget_removed(command)
        receipts = yield from _purge_receipts(command)
        longest = max(len(chosen), len(letters), len(messages), len(tickets), receipts)
        more = unfinished or longest >= command.limit or len(answers) >= answers_max
        results[index] = Purged(len(rows), more=more, devices_through=through)


def _purge(name: str, before: int, rows_max: int) -> Script[Rows]:
    """Run a statement that chooses, or forgets, at most *rows_max* rows from *before* a time."""
    return (yield from run(name, before=[before], rows_max=[rows_max]))


def _purge_receipts(command: Purge) -> Script[int]:
    """Forget receipts, and what hangs on their log; the number of receipts.

    This is the last step of a purge, because it locks the log's head.
    """
    if not command.receipts_before:
        return 0
    yield from _purge("sink_letters_purge", command.receipts_before, command.limit)
    yield from _purge("readers_purge", command.receipts_before, command.limit)
    return len((yield from purge_receipts(command.receipts_before, command.limit)))


def _remove_unseen(command: Purge) -> Script[tuple[str, str] | None]:
    """Remove the devices of the next slice that were not seen for long; the slice's last device, or
    `None` after the last slice.
    """
    after = command.devices_after
    slice_ = yield from run(
        "purge_slice", user_id=[after[0]], device_id=[after[1]], devices_max=[command.limit]
    )
    before = command.created_before
    unseen = [row for row in slice_ if row.last_seen is not None and row.last_seen < before]
    yield from run("purge_devices", **_PURGE_DEVICES(unseen), before=[before] * len(unseen))
    if len(slice_) < command.limit:
        return None
    return slice_[-1].user_id, slice_[-1].device_id


def _forget_removed(command: Purge) -> Script[bool]:
    """Forget removed devices, each after its ledger lines; whether there is more to do."""
    before = max(command.removed_before, command.created_before)
    removed = yield from run("purge_removed", before=[before], devices_max=[_DEVICES_AT_A_TIME])
    entries_max = max(1, command.limit // max(1, len(removed)))
    rows = yield from run(
        "purge_lines", **_PURGE_LINES(removed), entries_max=[entries_max] * len(removed)
    )
    left = [row for row in rows if row.entries >= entries_max]
    yield from run("devices_cleared", **_DEVICES_CLEARED(left))
    yield from run(
        "devices_drop", **_DEVICES_DROP([row for row in rows if row.entries < entries_max])
    )
    return bool(left) or len(removed) == _DEVICES_AT_A_TIME


def _choose(command: Purge) -> Script[list[tuple[str, str | None]]]:
    """(Notification, user) of at most `limit` inbox rows, with `None` for a notification without
    rows. A row that has two reasons to go may come twice.
    """
    left = command.limit
    archived = yield from _purge("purge_archived", command.archived_before, left)
    left -= len(archived)
    expired = yield from _purge("purge_expired", command.expired_before, left)
    left -= len(expired)
    aged = yield from _purge("purge_aged", command.created_before, left)
    return [(row.notification_id, row.user_id) for row in (*archived, *expired, *aged)]


def _forget(chosen: Iterable[tuple[str, str | None]], command: Purge) -> Script[Rows]:
    """Forget the rows of *chosen*, and the notifications that have no row left; the rows."""
    held = yield from run("purge_hold", id=sorted({id_ for id_, _ in chosen}))
    ids = {row.id for row in held}
    places = sorted((id_, user) for id_, user in chosen if id_ in ids and user is not None)
    yield from hold_users(user for _, user in places)
    rows = yield from run(
        "purge_inbox",
        notification_id=[id_ for id_, _ in places],
        user_id=[user for _, user in places],
        archived_before=[command.archived_before] * len(places),
        expired_before=[command.expired_before] * len(places),
        created_before=[command.created_before] * len(places),
    )
    yield from _correct_users(rows)
    yield from _forget_notifications(sorted(ids), command.created_before)
    return rows


def _forget_notifications(held: Sequence[str], created_before: int) -> Script[None]:
    """Forget those of *held* that are in no inbox and no topic's log."""
    gone = yield from run("purge_notifications", id=held)
    forgotten = [row.id for row in gone]
    yield from run("purge_deliveries", notification_id=forgotten)
    yield from run("purge_collapsing", notification_id=forgotten)
    yield from run("escalations_delete", notification_id=forgotten)
    yield from run("purge_sends", notification_id=forgotten)
    # The entries of an old notification in a topic's log go now, the notification itself with the
    # next purge: a transaction that has read the entries may still bring it into an inbox.
    before = [created_before] * len(held)
    yield from run("purge_topic_log", id=held, before=before)
    yield from run("purge_topic_heads", id=held, before=before)


def _correct_users(rows: Rows) -> Script[None]:
    losses: dict[str, _Loss] = {}
    for row in rows:
        # Expired notifications are neither counted nor replayed.
        if row.expired_at is None:
            loss = losses.setdefault(row.user_id, _Loss())
            unread, unseen = counted(row.state)
            loss.unread += unread
            loss.unseen += unseen
            loss.horizon = max(loss.horizon, row.sequence)
    users = sorted(losses)
    yield from run("purge_users", **_PURGE_USERS([losses[user] for user in users]), user_id=users)
