"""Scripts about devices: where one starts, how far it is, what was sent to it.

An acknowledgment reaches the store on two ways, in a `Record` and as the cursor of an `Attach`;
both become ledger lines, which merge by the same rule (`deliveries_record`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tocsin.persistence.statements import Script, run
from tocsin.persistence.store import (
    Attach,
    Attached,
    Counters,
    DeliveryRecord,
    DeviceCursor,
    Done,
    Record,
    Result,
)
from tocsin.protocol.cursor import LogState, choose_start


def record(commands: Sequence[tuple[int, Record]], results: list[Result]) -> Script[None]:
    """Merge all ledger lines and cursors of *commands*."""
    yield from _write_lines(line for _, command in commands for line in command.deliveries)
    cursors = (cursor for _, command in commands for cursor in command.cursors)
    yield from _write_cursors(cursors)
    for index, _ in commands:
        results[index] = Done()


def attach(
    commands: Sequence[tuple[int, Attach]], results: list[Result], epoch: str
) -> Script[None]:
    """Choose each device's start. No device may occur twice in *commands*."""
    states = yield from _read_states(commands)
    ahead: list[tuple[Attach, int, int]] = []
    moved: list[DeviceCursor] = []
    back: list[tuple[DeviceCursor, int]] = []
    for (index, command), (state, counters) in zip(commands, states, strict=True):
        start = choose_start(command.requested, epoch, state)
        cursor = DeviceCursor(command.user, command.device, start.sequence, command.now_ms)
        stored = state.stored
        if stored is not None and start.resumed and start.sequence > stored:
            ahead.append((command, stored, start.sequence))
        if stored is not None and (start.sequence < stored or not start.resumed):
            back.append((cursor, state.head))
        else:
            moved.append(cursor)
        results[index] = Attached(start, state.head, counters)
    yield from _acknowledge(ahead)
    yield from _write_cursors(moved)
    yield from run(
        "devices_reset",
        [cursor.user for cursor, _ in back],
        [cursor.device for cursor, _ in back],
        [cursor.sequence for cursor, _ in back],
        [cursor.seen_at for cursor, _ in back],
        [head for _, head in back],
    )


def _read_states(
    commands: Sequence[tuple[int, Attach]],
) -> Script[list[tuple[LogState, Counters]]]:
    rows = yield from run(
        "attach_read",
        list(range(len(commands))),
        [command.user for _, command in commands],
        [command.device for _, command in commands],
    )
    # In the order of the questions, which a database need not keep.
    states: dict[int, tuple[LogState, Counters]] = {}
    for number, head, horizon, unread, unseen, stored, first in rows:
        states[number] = (LogState(head, horizon, stored, first), Counters(unread, unseen))
    return [states[number] for number in range(len(commands))]


def _acknowledge(moves: Sequence[tuple[Attach, int, int]]) -> Script[None]:
    """Count as acknowledged what lies between where these devices were and their cursors."""
    times = {(command.user, command.device): command.now_ms for command, _, _ in moves}
    rows = yield from run(
        "deliveries_open",
        [command.user for command, _, _ in moves],
        [command.device for command, _, _ in moves],
        [stored for _, stored, _ in moves],
        [cursor for _, _, cursor in moves],
    )
    yield from _write_lines(
        DeliveryRecord(
            user, device, notification, sequence, attempts, now_ms := times[user, device], now_ms
        )
        for user, device, notification, sequence, attempts in rows
    )


def _write_lines(lines: Iterable[DeliveryRecord]) -> Script[None]:
    # A statement cannot merge two lines into one row, and the merge stands in SQL, once. So the
    # second line for a row goes into a second round: what a device was sent and what it
    # acknowledged a moment later may well be in one batch, more than that seldom is.
    rounds: list[dict[tuple[str, str, str], DeliveryRecord]] = [{}]
    delivered: dict[tuple[str, str], int] = {}
    for line in lines:
        key = (line.notification, line.user, line.device)
        for merge in rounds:
            if key not in merge:
                merge[key] = line
                break
        else:
            rounds.append({key: line})
        if (at := line.acknowledged_at) is not None:
            pair = key[:2]
            delivered[pair] = min(at, delivered.get(pair, at))
    yield from run(
        "inbox_delivered",
        [notification for notification, _ in delivered],
        [user for _, user in delivered],
        list(delivered.values()),
    )
    for merge in rounds:
        yield from _merge_lines(merge.values())


def _merge_lines(lines: Collection[DeliveryRecord]) -> Script[None]:
    yield from run(
        "deliveries_record",
        [line.user for line in lines],
        [line.device for line in lines],
        [line.notification for line in lines],
        [line.sequence for line in lines],
        [line.attempts for line in lines],
        [line.first_sent_at for line in lines],
        [line.acknowledged_at for line in lines],
        [line.dead_reason for line in lines],
    )


def _write_cursors(cursors: Iterable[DeviceCursor]) -> Script[None]:
    furthest: dict[tuple[str, str], tuple[int, int]] = {}
    for cursor in cursors:
        key = (cursor.user, cursor.device)
        sequence, seen_at = furthest.get(key, (0, 0))
        furthest[key] = (max(cursor.sequence, sequence), max(cursor.seen_at, seen_at))
    yield from run(
        "devices_save",
        [user for user, _ in furthest],
        [device for _, device in furthest],
        [sequence for sequence, _ in furthest.values()],
        [seen_at for _, seen_at in furthest.values()],
    )
