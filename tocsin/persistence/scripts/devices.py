"""Scripts of devices: the start of a session, acknowledging without a session, removal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from tocsin.persistence.scripts.ledger import (
    CursorMove,
    DevicePlace,
    Ends,
    acknowledge_moves,
    acknowledge_named,
    furthest,
    reset_places,
    write_places,
)
from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.scripts.topics.bring import Brought
from tocsin.persistence.scripts.topics.subscriptions import subscribed_topics
from tocsin.persistence.store.commands import Counters, NotFound, TooMany
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    AcknowledgedPartly,
    Attach,
    Attached,
    BeyondHead,
    RemoveDevice,
)
from tocsin.protocol.log.cursor import LogState, Start, choose_start
from tocsin.protocol.log.ledger import DeviceCursor
from tocsin.protocol.log.news import AckStored, DeviceForgotten

_ATTACH_READ: Final = pick(user_id="user", device_id="device")


class _DeviceState(NamedTuple):
    """A user's log and a device as the store has them; *removed*: the device was known once.

    *session* is the device's open session. All entries of the log up to the sequence *delivered*
    are known to be delivered.
    """

    log: LogState
    counters: Counters
    removed: bool
    session: str | None
    delivered: int


def acknowledge(
    commands: Sequence[tuple[int, Acknowledge]], results: list[Result], limits: ScriptLimits
) -> Script[None]:
    """Write the acknowledgments of devices without a session, as those of a session are written."""
    if not commands:
        return
    states = yield from _read_states([command for _, command in commands])
    moves: list[CursorMove] = []
    named: list[tuple[Acknowledge, str]] = []
    for (index, command), state in zip(commands, states, strict=True):
        said = command.user, command.device, command.through, command.ids
        refusal = _refusal(command, state.log)
        results[index] = refusal or AckStored(*said, state.session)
        if (stored := state.log.stored) is None or refusal is not None:
            continue
        through = stored if command.through is None else max(stored, command.through)
        moves.append(CursorMove(command.user, command.device, stored, through, command.now_ms))
        named += [(command, notification) for notification in command.ids]
    yield from acknowledge_named(named)
    ahead = [move for move in moves if move.cursor > move.stored]
    partly = yield from acknowledge_moves(ahead, limits)
    for index, command in commands:
        if (command.user, command.device) in partly:
            results[index] = AcknowledgedPartly()
    cursors = [
        DeviceCursor(user, device, stored if (user, device) in partly else through, now_ms)
        for user, device, stored, through, now_ms in moves
    ]
    yield from write_places(furthest(cursors, {}))


def remove_devices(
    commands: Sequence[tuple[int, RemoveDevice]], results: list[Result]
) -> Script[None]:
    """Forget devices; of two commands for one, the second finds nothing."""
    if not commands:
        return
    devices = {(command.user, command.device): None for _, command in commands}
    users, names = [user for user, _ in devices], [device for _, device in devices]
    rows = yield from run("devices_remove", user_id=users, device_id=names)
    # Otherwise the device's stream would reconnect by itself, with its ticket, as a new device.
    yield from run("tickets_of_devices", user_id=users, device_id=names)
    removed = {(row.user_id, row.device_id) for row in rows}
    for index, command in commands:
        key = (command.user, command.device)
        results[index] = DeviceForgotten(*key) if key in removed else NotFound()
        removed.discard(key)


def attach(
    commands: Sequence[tuple[int, Attach]],
    ends: Ends,
    results: list[Result],
    brought: Brought,
    epoch: str,
    limits: ScriptLimits,
) -> Script[None]:
    """Choose the start of each device, except new ones beyond the limit of their user.

    A device may occur only once in *commands*. The *ends* of sessions are written in the same rows,
    so that a device that comes back at once, such as one that polls, costs one row and not two.
    """
    if not commands:
        return
    states = yield from _read_states([command for _, command in commands])
    yield from _note_delivered(commands, states, limits.delivered_step_min)
    named = yield from _count_named(commands, states)
    topics = yield from subscribed_topics((command.user for _, command in commands), left_too=True)
    arrivals: list[_Arrival] = []
    others = dict(ends)
    for (index, command), state in zip(commands, states, strict=True):
        if command.named_max is not None and state.log.stored is None:
            if named[command.user] >= command.named_max:
                results[index] = TooMany(command.named_max)
                continue
            named[command.user] += 1
        start = choose_start(command.requested, epoch, state.log)
        ended = others.pop((command.user, command.device), None)
        arrival = _arrival(command, state, start, ended)
        arrivals.append(arrival)
        results[index] = Attached(
            user=command.user,
            start=start,
            head=state.log.head,
            counters=state.counters,
            horizon=state.log.horizon,
            topics=topics.get(command.user, ()),
            behind=command.user in brought.behind,
            open_session=arrival.earlier,
        )
    moves = [each.move for each in arrivals if each.move is not None]
    partly = yield from acknowledge_moves(moves, limits)
    for index, command in commands:
        if (command.user, command.device) in partly:
            results[index] = AcknowledgedPartly()
    others |= {key: session for key, session in ends.items() if key in partly}
    yield from _place(arrivals, partly, others)
    yield from _forget_unnamed(commands, states)


class _Arrival(NamedTuple):
    """The start of a device: its *place*, and *move*, the acknowledgment by its cursor.

    *back*: the device may have forgotten entries that it acknowledged, up to the *head* of the log.
    *earlier* is its former session, if that is still open.
    """

    place: DevicePlace
    move: CursorMove | None
    back: bool
    head: int
    earlier: str | None


def _arrival(command: Attach, state: _DeviceState, start: Start, ended: str | None) -> _Arrival:
    """The arrival of a device; *ended* is its session that ends in the same transaction."""
    log, stored = state.log, state.log.stored
    # If *command* is repeated, its first run opened the session, and marked the doubtful entries.
    earlier = None if state.session in (ended, command.session) else state.session
    move = None
    if stored is not None and start.resumed and start.sequence > stored:
        move = CursorMove(command.user, command.device, stored, start.sequence, command.now_ms)
    if stored is None:
        # Not new, for it has a cursor: a device that was forgotten while it was connected, and
        # whose session noted acknowledgments after that.
        goes_back = command.requested is not None
    else:
        goes_back = start.sequence < stored or not start.resumed
    return _Arrival(
        place=_opened(command, start.sequence, ended, 0 if earlier is None else log.head),
        move=move,
        back=state.removed or goes_back,
        head=log.head,
        earlier=earlier,
    )


def _place(
    arrivals: Sequence[_Arrival], partly: Collection[tuple[str, str]], ends: Ends
) -> Script[None]:
    """Write the starts of devices and the *ends* of other sessions; devices in *partly* stay."""
    moved = [
        each.place
        for each in arrivals
        if not each.back and (each.place.user, each.place.device) not in partly
    ]
    yield from write_places(moved + furthest((), ends))
    back = [each for each in arrivals if each.back]
    yield from reset_places([each.place for each in back], [each.head for each in back])


def _opened(command: Attach, sequence: int, ended: str | None, doubtful: int) -> DevicePlace:
    """The place at which the session of *command* starts; *ended* ends in this transaction."""
    return DevicePlace(
        command.user,
        command.device,
        sequence,
        command.now_ms,
        command.session,
        # The end of a session may be recorded before its start, if the connection was lost early.
        opened=command.session != ended,
        doubtful=doubtful,
    )


def _forget_unnamed(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState]
) -> Script[None]:
    """Remove the surplus unnamed devices of users for whom a new unnamed one attaches."""
    unnamed = {
        command.user: command.unnamed_max
        for (_, command), (log, *_) in zip(commands, states, strict=True)
        if command.unnamed_max is not None and log.stored is None
    }
    yield from run("devices_forget", user_id=list(unnamed), most=list(unnamed.values()))


def _note_delivered(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState], step_min: int
) -> Script[None]:
    """Note up to which sequence a log is delivered, if that is *step_min* entries further."""
    found: dict[str, int] = {}
    for (_, command), (log, _, _, _, delivered) in zip(commands, states, strict=True):
        if log.stored is None:
            first = log.first_unacknowledged
            through = log.head if first is None else first - 1
            if through - delivered >= step_min:
                found[command.user] = through
    yield from run(
        "users_delivered",
        user_id=sorted(found),
        delivered=[found[user] for user in sorted(found)],
    )


def _count_named(
    commands: Sequence[tuple[int, Attach]], states: Sequence[_DeviceState]
) -> Script[dict[str, int]]:
    """The number of named devices of each user for whom a new named device attaches."""
    users = {
        command.user
        for (_, command), state in zip(commands, states, strict=True)
        if command.named_max is not None and state.log.stored is None
    }
    rows = yield from run("devices_count", user_id=sorted(users))
    return {row.user_id: row.devices for row in rows}


def _refusal(command: Acknowledge, log: LogState) -> Result | None:
    if log.stored is None:
        return NotFound()
    if command.through is not None and command.through > log.head:
        return BeyondHead(log.head)
    return None


def _read_states(commands: Sequence[Attach | Acknowledge]) -> Script[list[_DeviceState]]:
    rows = yield from run("attach_read", **_ATTACH_READ(commands), number=range(len(commands)))
    # Put into the order of *commands*, which a database need not keep.
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
