"""The script of a purge: what nobody will ask for any more is forgotten, a piece at a time.

Rows of inboxes go for three reasons: archived long ago, expired long ago, or of a notification that
is old. They are chosen without locks, through an index each, so that a purge with nothing to do
costs a look at the ends of some indexes, and at a slice of the devices, which have no index by age.
Then their notifications and users are locked in the usual order, and what was chosen is forgotten
as far as it still should be: a row may have been brought back from the archive in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tocsin.persistence.scripts.marks import COUNTS, hold_users
from tocsin.persistence.scripts.statements import Rows, Script, run, run_for
from tocsin.persistence.store import Purge, Purged, Result

_ANSWERS_PER_ROW = 10
"""Idempotency answers are cheaper to forget than inbox rows, and there may be many."""

_DEVICES_AT_A_TIME = 20
"""Of a log's entries, as many as a transaction may concern are shared by them."""


class _Loss(msgspec.Struct):
    """What one user loses; *horizon* is the last of what a device may not have heard of."""

    unread: int = 0
    unseen: int = 0
    horizon: int = 0


def purge(commands: Sequence[tuple[int, Purge]], results: list[Result]) -> Script[None]:
    """Run *commands* one after the other: there is seldom more than one."""
    for index, command in commands:
        answers_max = _ANSWERS_PER_ROW * command.limit
        answers = yield from run("idempotency_purge", [command.idempotency_before], [answers_max])
        tickets = yield from run("tickets_purge", [command.tickets_before], [command.limit])
        chosen = yield from _choose(command)
        rows = yield from _forget(dict.fromkeys(chosen), command)
        limit = [command.limit]
        letters = yield from run("purge_letters", [command.created_before], limit)
        through = yield from _remove_unseen(command)
        unfinished = yield from _forget_removed(command)
        most = max(len(chosen), len(letters), len(tickets))
        more = unfinished or most >= command.limit or len(answers) >= answers_max
        results[index] = Purged(len(rows), more=more, devices_through=through)


def _remove_unseen(command: Purge) -> Script[tuple[str, str] | None]:
    """Remove those devices of the next slice that were not seen for long; where the slice ends,
    unless it is the last.
    """
    after = command.devices_after
    slice_ = yield from run("purge_slice", [after[0]], [after[1]], [command.limit])
    before = command.created_before
    unseen = [row for row in slice_ if row[2] is not None and row[2] < before]
    yield from run_for("purge_devices", [(user, device, before) for user, device, _ in unseen])
    return tuple(slice_[-1][:2]) if len(slice_) >= command.limit else None


def _forget_removed(command: Purge) -> Script[bool]:
    """Forget devices that were removed, each after what the ledger says of it; whether there is
    more of it to do.
    """
    before = max(command.removed_before, command.created_before)
    removed = yield from run("purge_removed", [before], [_DEVICES_AT_A_TIME])
    entries_max = max(1, command.limit // max(1, len(removed)))
    rows = yield from run_for("purge_lines", [(*row, entries_max) for row in removed])
    left = [row[:3] for row in rows if row[3] >= entries_max]
    yield from run_for("devices_cleared", left)
    yield from run_for("devices_drop", [row[:2] for row in rows if row[3] < entries_max])
    return bool(left) or len(removed) == _DEVICES_AT_A_TIME


def _choose(command: Purge) -> Script[list[tuple[str, str | None]]]:
    """Places (notification, user) of at most `limit` rows, no user where there is no row.

    A row that has two reasons to go may come twice.
    """
    left = command.limit
    archived = yield from run("purge_archived", [command.archived_before], [left])
    left -= len(archived)
    expired = yield from run("purge_expired", [command.expired_before], [left])
    left -= len(expired)
    aged = yield from run("purge_aged", [command.created_before], [left])
    return [(row[0], row[1]) for row in (*archived, *expired, *aged)]


def _forget(chosen: Iterable[tuple[str, str | None]], command: Purge) -> Script[Rows]:
    """Forget the rows of *chosen*, and the notifications of which none is left."""
    held = yield from run("purge_hold", sorted({id_ for id_, _ in chosen}))
    ids = {row[0] for row in held}
    places = sorted((id_, user) for id_, user in chosen if id_ in ids and user is not None)
    yield from hold_users(user for _, user in places)
    rows = yield from run(
        "purge_inbox",
        [id_ for id_, _ in places],
        [user for _, user in places],
        [command.archived_before] * len(places),
        [command.expired_before] * len(places),
        [command.created_before] * len(places),
    )
    yield from _correct_users(rows)
    yield from _forget_notifications(sorted(ids), command.created_before)
    return rows


def _forget_notifications(held: Sequence[str], created_before: int) -> Script[None]:
    """Forget those of *held* that are in no inbox and no topic's log."""
    gone = yield from run("purge_notifications", held)
    forgotten = [row[0] for row in gone]
    yield from run("purge_deliveries", forgotten)
    yield from run("purge_collapsing", forgotten)
    # What an old one has in the log of a topic goes now, and it goes itself with the next purge: as
    # long as it could be read there, somebody may be bringing it into an inbox.
    before = [created_before] * len(held)
    yield from run("purge_topic_log", held, before)
    yield from run("purge_topic_heads", held, before)


def _correct_users(rows: Rows) -> Script[None]:
    losses: dict[str, _Loss] = {}
    for user, sequence, state, expired_at in rows:
        # What has expired is neither counted nor replayed.
        if expired_at is None:
            loss = losses.setdefault(user, _Loss())
            unread, unseen = COUNTS.get(state, (0, 0))
            loss.unread += unread
            loss.unseen += unseen
            loss.horizon = max(loss.horizon, sequence)
    users = sorted(losses)
    yield from run(
        "purge_users",
        users,
        [losses[user].unread for user in users],
        [losses[user].unseen for user in users],
        [losses[user].horizon for user in users],
    )
