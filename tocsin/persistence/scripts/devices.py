"""Scripts about devices: where one starts, how far it is, what was sent to it.

An acknowledgment reaches the store on three ways: in a session's `Record`, as the cursor of an
`Attach`, and in an `Acknowledge`. All become ledger lines, which merge by the same rule
(`deliveries_record`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tocsin.persistence.scripts.bury_letters import bury, deaths_in
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.scripts.topics.bring import Brought
from tocsin.persistence.scripts.topics.subscriptions import subscribed_topics
from tocsin.persistence.store import (
    Acknowledge,
    AcknowledgedPartly,
    Attach,
    Attached,
    BeyondHead,
    Counters,
    DeliveryRecord,
    DeviceCursor,
    Done,
    NotFound,
    Record,
    RemoveDevice,
    Result,
    TooMany,
)
from tocsin.protocol.cursor import LogState, choose_start

_DEVICES_SAVE: Final = pick(
    "session",
    "opened",
    "doubtful",
    user_id="user",
    device_id="device",
    acknowledged="sequence",
    last_seen="seen_at",
)
_ATTACH_READ: Final = pick(user_id="user", device_id="device")
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


class _DeviceState(NamedTuple):
    """What the store knows of a log and a device; *removed* says that this one was known once.

    *session* is the one of the device that is open. Of the log up to *delivered* nothing is
    undelivered, as was found out before.
    """

    log: LogState
    counters: Counters
    removed: bool
    session: str | None
    delivered: int


class _Place(NamedTuple):
    """Where a device is (or was at least), since when (Unix ms), and what its *session* did.

    It was *opened*, or has ended; what was created up to *doubtful* was perhaps sent before it.
    """

    user: str
    device: str
    sequence: int
    seen_at: int
    session: str | None = None
    opened: bool = False
    doubtful: int = 0


Ends = Mapping[tuple[str, str], str]
"""The session that has ended, by user and device."""

ACKNOWLEDGED_MAX = 1000
"""Lines of the ledger that cursors acknowledge in one transaction."""
_ACKNOWLEDGED_MIN = 30
"""However many devices share that."""

_WORTH_NOTING = 100
"""So many entries of a log are gone through in less time than a row is written."""


class _Move(NamedTuple):
    """A device was at *stored* and is at *cursor* now (Unix ms)."""

    user: str
    device: str
    stored: int
    cursor: int
    now_ms: int


def ends_in(commands: Sequence[tuple[int, Record]]) -> Ends:
    """The sessions that have ended by *commands*; of several of a device, the last."""
    return {(end.user, end.device): end.session for _, each in commands for end in each.ends}


def record(
    commands: Sequence[tuple[int, Record]], ends: Ends, results: list[Result]
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
    cursors = [cursor for _, command in commands for cursor in command.cursors]
    yield from _write_places(_furthest(cursors, ends))
    for index, _ in commands:
        results[index] = Done()


def acknowledge(commands: Sequence[tuple[int, Acknowledge]], results: list[Result]) -> Script[None]:
    """Write what devices acknowledge without a session as if one had."""
    if not commands:
        return
    states = yield from _read_states([command for _, command in commands])
    moves: list[_Move] = []
    named: list[tuple[Acknowledge, str]] = []
    for (index, command), state in zip(commands, states, strict=True):
        results[index] = _refusal(command, state.log) or Done()
        if (stored := state.log.stored) is None or results[index] != Done():
            continue
        through = stored if command.through is None else max(stored, command.through)
        moves.append(_Move(command.user, command.device, stored, through, command.now_ms))
        named += [(command, notification) for notification in command.ids]
    yield from _acknowledge_named(named)
    partly = yield from _acknowledge([move for move in moves if move.cursor > move.stored])
    for index, command in commands:
        if (command.user, command.device) in partly:
            results[index] = AcknowledgedPartly()
    cursors = [
        DeviceCursor(user, device, stored if (user, device) in partly else through, now_ms)
        for user, device, stored, through, now_ms in moves
    ]
    yield from _write_places(_furthest(cursors, {}))


def remove_devices(
    commands: Sequence[tuple[int, RemoveDevice]], results: list[Result]
) -> Script[None]:
    """Forget devices; of two commands for one, the second finds nothing."""
    if not commands:
        return
    devices = {(command.user, command.device): None for _, command in commands}
    users, names = [user for user, _ in devices], [device for _, device in devices]
    rows = yield from run("devices_remove", user_id=users, device_id=names)
    # Or its stream comes back by itself, as a device that was never seen.
    yield from run("tickets_of_devices", user_id=users, device_id=names)
    removed = {(row.user_id, row.device_id) for row in rows}
    for index, command in commands:
        key = (command.user, command.device)
        results[index] = Done() if key in removed else NotFound()
        removed.discard(key)


def attach(
    commands: Sequence[tuple[int, Attach]],
    ends: Ends,
    results: list[Result],
    brought: Brought,
    epoch: str,
) -> Script[None]:
    """Choose the start of each device that is not one too many. None may occur twice in *commands*.

    The *ends* of sessions are noted with it: a device that comes back at once, as one does that
    polls, costs no row for having left.
    """
    if not commands:
        return
    states = yield from _read_states([command for _, command in commands])
    yield from _note_delivered(commands, states)
    named = yield from _count_named(commands, states)
    topics = yield from subscribed_topics((command.user for _, command in commands), left_too=True)
    ahead: list[_Move] = []
    moved: list[_Place] = []
    back: list[tuple[_Place, int]] = []
    others = dict(ends)
    for (index, command), (log, counters, removed, open_, _) in zip(commands, states, strict=True):
        if command.named_max is not None and log.stored is None:
            if named[command.user] >= command.named_max:
                results[index] = TooMany(command.named_max)
                continue
            named[command.user] += 1
        start = choose_start(command.requested, epoch, log)
        ended = others.pop((command.user, command.device), None)
        # An attempt of this same session has opened it already, and doubted what was before.
        earlier = None if open_ in (ended, command.session) else open_
        doubtful = 0 if earlier is None else log.head
        place = _opened(command, start.sequence, ended, doubtful)
        stored = log.stored
        if stored is not None and start.resumed and start.sequence > stored:
            ahead.append(
                _Move(command.user, command.device, stored, start.sequence, command.now_ms)
            )
        if removed or (stored is not None and (start.sequence < stored or not start.resumed)):
            back.append((place, log.head))
        else:
            moved.append(place)
        results[index] = Attached(
            user=command.user,
            start=start,
            head=log.head,
            counters=counters,
            horizon=log.horizon,
            topics=topics.get(command.user, ()),
            behind=command.user in brought.behind,
            open_session=earlier,
        )
    partly = yield from _acknowledge(ahead)
    if partly:
        for index, command in commands:
            if (command.user, command.device) in partly:
                results[index] = AcknowledgedPartly()
        others |= {key: session for key, session in ends.items() if key in partly}
        moved = [place for place in moved if (place.user, place.device) not in partly]
    yield from _write_places(moved + _furthest((), others))
    yield from run(
        "devices_reset",
        **_DEVICES_SAVE([place for place, _ in back]),
        forgotten=[head for _, head in back],
    )
    yield from _forget_unnamed(commands, states)


def _opened(command: Attach, sequence: int, ended: str | None, doubtful: int) -> _Place:
    """Where the session of *command* starts; *ended* is the one that is over with this."""
    return _Place(
        command.user,
        command.device,
        sequence,
        command.now_ms,
        command.session,
        # One that nobody waited for may have ended before it began.
        opened=command.session != ended,
        doubtful=doubtful,
    )


def _forget_unnamed(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState]
) -> Script[None]:
    """Of users who come with a new device without a name of its own, those that are too many."""
    unnamed = {
        command.user: command.unnamed_max
        for (_, command), (log, *_) in zip(commands, states, strict=True)
        if command.unnamed_max is not None and log.stored is None
    }
    yield from run("devices_forget", user_id=list(unnamed), most=list(unnamed.values()))


def _note_delivered(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState]
) -> Script[None]:
    """Note how far all is delivered, where somebody had to go through much to find that."""
    found: dict[str, int] = {}
    for (_, command), (log, _, _, _, delivered) in zip(commands, states, strict=True):
        if log.stored is None:
            first = log.first_unacknowledged
            through = log.head if first is None else first - 1
            if through - delivered >= _WORTH_NOTING:
                found[command.user] = through
    yield from run(
        "users_delivered",
        user_id=sorted(found),
        delivered=[found[user] for user in sorted(found)],
    )


def _count_named(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState]
) -> Script[dict[str, int]]:
    """How many devices with names of their own are known of those users who come with a new one."""
    users = {
        command.user
        for (_, command), state in zip(commands, states, strict=True)
        if command.named_max is not None and state.log.stored is None
    }
    rows = yield from run("devices_count", user_id=sorted(users))
    return {row.user_id: row.devices for row in rows}


def _dead_lines(command: Record) -> list[tuple[DeliveryRecord, int]]:
    """Lines that say that a device was given up, and when: no later than the last time named."""
    dead = [line for line in command.deliveries if line.dead_reason is not None]
    if not dead:
        return []
    times = [cursor.seen_at for cursor in command.cursors]
    for line in command.deliveries:
        times += [line.first_sent_at, line.acknowledged_at or 0]
    return [(line, max(times)) for line in dead]


def _refusal(command: Acknowledge, log: LogState) -> Result | None:
    if log.stored is None:
        return NotFound()
    if command.through is not None and command.through > log.head:
        return BeyondHead(log.head)
    return None


def _read_states(commands: Sequence[Attach | Acknowledge]) -> Script[list[_DeviceState]]:
    rows = yield from run("attach_read", **_ATTACH_READ(commands), number=range(len(commands)))
    # In the order of the questions, which a database need not keep.
    states = {row.number: _state_of(row) for row in rows}
    return [states[number] for number in range(len(commands))]


def _state_of(row: Row) -> _DeviceState:
    return _DeviceState(
        log=LogState(row.head, row.horizon, row.acknowledged, row.first_undelivered),
        counters=Counters(row.unread, row.unseen),
        removed=bool(row.removed),
        session=row.session,
        delivered=row.delivered,
    )


def _acknowledge(moves: Sequence[_Move]) -> Script[set[tuple[str, str]]]:
    """Count as acknowledged what lies between where these devices were and where they are.

    The devices for which that is more than one transaction does: they stay where they were, and
    what is done is not done again.
    """
    most = max(_ACKNOWLEDGED_MIN, ACKNOWLEDGED_MAX // max(1, len(moves)))
    times = {(move.user, move.device): move.now_ms for move in moves}
    rows = yield from run(
        "deliveries_open", **_DELIVERIES_OPEN(moves), lines_max=[most] * len(moves)
    )
    yield from _write_lines(
        _answered(row, row.attempts, times[row.user_id, row.device_id]) for row in rows
    )
    found = Counter((row.user_id, row.device_id) for row in rows)
    return {device for device, count in found.items() if count >= most}


def _acknowledge_named(named: Sequence[tuple[Acknowledge, str]]) -> Script[None]:
    """Count as acknowledged what the ids of these notifications stand for."""
    times = {(command.user, command.device, id_): command.now_ms for command, id_ in named}
    rows = yield from run(
        "deliveries_sent",
        user_id=[user for user, _, _ in times],
        device_id=[device for _, device, _ in times],
        notification_id=[id_ for _, _, id_ in times],
    )
    yield from _write_lines(
        # The count of attempts is merged by its maximum, so 0 says nothing.
        _answered(row, 0, times[row.user_id, row.device_id, row.notification_id])
        for row in rows
    )


def _answered(row: Row, attempts: int, at: int) -> DeliveryRecord:
    """The ledger's line of what is in *row*, acknowledged *at* a time (Unix ms)."""
    return DeliveryRecord(
        row.user_id, row.device_id, row.notification_id, row.sequence, attempts, at, at
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
        notification_id=[notification for notification, _ in delivered],
        user_id=[user for _, user in delivered],
        at=list(delivered.values()),
    )
    for merge in rounds:
        yield from run("deliveries_record", **_DELIVERIES_RECORD(merge.values()))


def _furthest(cursors: Iterable[DeviceCursor], ends: Ends) -> list[_Place]:
    """One place for each device, with the end of its session if that has come."""
    places = {key: _Place(*key, 0, 0, session) for key, session in ends.items()}
    for cursor in cursors:
        key = (cursor.user, cursor.device)
        if (before := places.get(key)) is None:
            places[key] = _Place(*key, cursor.sequence, cursor.seen_at)
        else:
            places[key] = before._replace(
                sequence=max(cursor.sequence, before.sequence),
                seen_at=max(cursor.seen_at, before.seen_at),
            )
    return list(places.values())


def _write_places(places: Sequence[_Place]) -> Script[None]:
    yield from run("devices_save", **_DEVICES_SAVE(places))
