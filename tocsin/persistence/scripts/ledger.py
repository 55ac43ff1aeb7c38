"""Scripts that write the ledger and the cursors of devices.

An acknowledgment reaches the store in one of three ways: in a session's `Record`, as the cursor of
an `Attach`, or in an `Acknowledge`. All of them become ledger lines, which merge by the same rule
(`deliveries_record`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tocsin.persistence.scripts.bury_letters import bury, dead_fact, deaths_in
from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store.commands import Done
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import Acknowledge, Record
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor
from tocsin.protocol.receipts.receipt import Facts

_DEVICES_SAVE: Final = pick(
    "session",
    "opened",
    "doubtful",
    user_id="user",
    device_id="device",
    acknowledged="sequence",
    last_seen="seen_at",
)
_DELIVERIES_OPEN: Final = pick("stored", "cursor", user_id="user", device_id="device", at="now_ms")
_DELIVERIES_RECORD: Final = pick(
    "sequence",
    "attempts",
    "first_sent_at",
    "acknowledged_at",
    "dead_reason",
    user_id="user",
    device_id="device",
    notification_id="notification",
    unanswered_sequence="unanswered",
)

Ends = Mapping[tuple[str, str], str]
"""(User, device) → the session of it that has ended."""


class DevicePlace(NamedTuple):
    """A device has reached *sequence*, and was seen at *seen_at* (Unix ms).

    Its *session*, if one is named, was *opened*, or has ended otherwise. Entries created up to
    *doubtful* may have been sent by an earlier session without a ledger line.
    """

    user: str
    device: str
    sequence: int
    seen_at: int
    session: str | None = None
    opened: bool = False
    doubtful: int = 0


class CursorMove(NamedTuple):
    """A device's cursor moved from the sequence *stored* to *cursor* at *now_ms* (Unix ms)."""

    user: str
    device: str
    stored: int
    cursor: int
    now_ms: int


def ends_in(commands: Sequence[tuple[int, Record]]) -> Ends:
    """The sessions that end in *commands*; of several of a device, the last one."""
    return {(end.user, end.device): end.session for _, each in commands for end in each.ends}


def record(
    commands: Sequence[tuple[int, Record]], ends: Ends, results: list[Result], facts: Facts
) -> Script[None]:
    """Merge all ledger lines and cursors of *commands*, and note the *ends* of sessions."""
    if not commands:
        return
    lines = [line for _, command in commands for line in command.deliveries]
    dead = [(line, at) for _, command in commands for line, at in _dead_lines(command)]
    deaths = (yield from deaths_in(dead)) if dead else ()
    yield from _write_lines(lines)
    if deaths:
        yield from bury(deaths)
        facts += [dead_fact(death) for death in deaths]
    cursors = [cursor for _, command in commands for cursor in command.cursors]
    yield from write_places(furthest(cursors, ends))
    for index, _ in commands:
        results[index] = Done()


def _dead_lines(command: Record) -> list[tuple[DeliveryRecord, int]]:
    """The lines of *command* that say that a device was given up, with a time (Unix ms).

    The lines do not have the time itself: the latest time that the record names stands for it.
    """
    dead = [line for line in command.deliveries if line.dead_reason is not None]
    if not dead:
        return []
    times = [cursor.seen_at for cursor in command.cursors]
    for line in command.deliveries:
        times += [line.first_sent_at, line.acknowledged_at or 0]
    return [(line, max(times)) for line in dead]


def acknowledge_moves(
    moves: Sequence[CursorMove], limits: ScriptLimits
) -> Script[set[tuple[str, str]]]:
    """Acknowledge the entries between the former and the present cursors of devices.

    Returns the devices that have more of them than one transaction may do. Their cursors must not
    be moved yet: a repetition goes on with the rest, since acknowledged lines are not found again.
    """
    share = limits.acknowledged_max // max(1, len(moves))
    lines_max = max(limits.acknowledged_of_device_min, share)
    times = {(move.user, move.device): move.now_ms for move in moves}
    rows = yield from run(
        "deliveries_open", **_DELIVERIES_OPEN(moves), lines_max=[lines_max] * len(moves)
    )
    lines = (_answered(row, row.attempts, times[row.user_id, row.device_id]) for row in rows)
    yield from _write_lines(lines)
    found = Counter((row.user_id, row.device_id) for row in rows)
    return {device for device, count in found.items() if count >= lines_max}


def acknowledge_named(named: Sequence[tuple[Acknowledge, str]]) -> Script[None]:
    """Acknowledge, for each id, the oldest change that the device was sent and has not answered."""
    times = {(command.user, command.device, id_): command.now_ms for command, id_ in named}
    rows = yield from run(
        "deliveries_sent",
        user_id=[user for user, _, _ in times],
        device_id=[device for _, device, _ in times],
        notification_id=[id_ for _, _, id_ in times],
    )
    # The merge takes the greatest number of attempts, so 0 leaves it as it is.
    lines = (
        _answered(row, 0, times[row.user_id, row.device_id, row.notification_id]) for row in rows
    )
    yield from _write_lines(lines)


def _answered(row: Row, attempts: int, at: int) -> DeliveryRecord:
    """The ledger line for *row*, acknowledged *at* a time (Unix ms)."""
    return DeliveryRecord(
        row.user_id, row.device_id, row.notification_id, row.sequence, attempts, at, at
    )


def _write_lines(lines: Iterable[DeliveryRecord]) -> Script[None]:
    # A statement of Postgres cannot merge two lines into one row, and the merge stands in SQL only.
    # So the second line for a row goes into a second round. Two lines are common (a push, and its
    # acknowledgment a moment later); three in one batch are rare.
    rounds: list[dict[tuple[str, str, str], DeliveryRecord]] = [{}]
    delivered: dict[tuple[str, str], tuple[int, str]] = {}
    for line in lines:
        key = (line.notification, line.user, line.device)
        for merge in rounds:
            if key not in merge:
                merge[key] = line
                break
        else:
            rounds.append({key: line})
        if (at := line.acknowledged_at) is not None:
            pair, first = key[:2], (at, line.device)
            delivered[pair] = min(first, delivered.get(pair, first))
    yield from run(
        "inbox_delivered",
        notification_id=[notification for notification, _ in delivered],
        user_id=[user for _, user in delivered],
        device_id=[device for _, device in delivered.values()],
        at=[at for at, _ in delivered.values()],
    )
    for merge in rounds:
        yield from run("deliveries_record", **_DELIVERIES_RECORD(merge.values()))


def furthest(cursors: Iterable[DeviceCursor], ends: Ends) -> list[DevicePlace]:
    """One place for each device: the greatest of its *cursors*, and the end of its session."""
    places = {key: DevicePlace(*key, 0, 0, session) for key, session in ends.items()}
    for cursor in cursors:
        key = (cursor.user, cursor.device)
        if (before := places.get(key)) is None:
            places[key] = DevicePlace(*key, cursor.sequence, cursor.seen_at)
        else:
            places[key] = before._replace(
                sequence=max(cursor.sequence, before.sequence),
                seen_at=max(cursor.seen_at, before.seen_at),
            )
    return list(places.values())


def write_places(places: Sequence[DevicePlace]) -> Script[None]:
    yield from run("devices_save", **_DEVICES_SAVE(places))


def reset_places(places: Sequence[DevicePlace], heads: Sequence[int]) -> Script[None]:
    """Move devices back to *places*; they may have forgotten all entries up to *heads*."""
    yield from run("devices_reset", **_DEVICES_SAVE(places), forgotten=heads)
