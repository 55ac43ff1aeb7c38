"""Scripts that settle dead letters: replay and discard.

A replay is an entry of the user's log like any other: the notification moves to the head. The
ledger lines of devices that are done with it move along, so that only the device that did not get
it is sent it again. If the notification has expired, it lives again, for this one recipient.

The notifications and users of letters are locked, in the usual order, before the letters are read
for good; so of two nodes that settle one letter, the second finds it settled. The commands are then
carried out in memory, in their order, and their effects are written together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.rows import content_of_row, letter_of_row
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.scripts.user_logs import UserLog, hold_users, save_users
from tocsin.persistence.store.commands import Done, NotActive, NotFound
from tocsin.persistence.store.queries import DeadLetter
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import DiscardLetter, LetterReplayed, ReplayLetter
from tocsin.protocol.notifications.marking import counted
from tocsin.protocol.notifications.notification import Content, Patch, Standing, State, patched
from tocsin.protocol.values import to_rfc3339

_NOTIFICATIONS_REVIVE: Final = pick("id", "revision", "updated_at", "expires_at", "document")
_LETTERS_RESEND: Final = pick(
    "earlier", "sequence", notification_id="letter.notification", user_id="letter.user"
)

Numbered = tuple[int, ReplayLetter | DiscardLetter]

_LIFETIME: Final = 60_000
"""Milliseconds for which a notification lives again if clocks that differ do not tell how long it
lived the first time: enough for a device that is connected."""

LETTER_STATUSES = _DEAD, _REPLAYED, _DISCARDED = "dead", "replayed", "discarded"


class _Letter(msgspec.Struct):
    row: DeadLetter
    status: str


class _Notification(msgspec.Struct):
    content: Content
    standing: str
    revived: bool = False


class _InboxRow(msgspec.Struct):
    """A recipient's inbox row; *replayed* says that it has moved to a new place in the log."""

    sequence: int
    state: str
    expired: bool
    replayed: bool = False


class _Resend(NamedTuple):
    """A notification goes from its *earlier* place to a new one, for the device of a letter."""

    letter: DeadLetter
    earlier: int
    sequence: int


class _Desk(msgspec.Struct):
    """The letters of a batch of commands with all that belongs to them, changed by the commands."""

    letters: dict[int, _Letter]
    notifications: dict[str, _Notification]
    logs: dict[str, UserLog]
    places: dict[tuple[str, str], _InboxRow]
    resends: list[_Resend]
    settled: dict[int, tuple[str, int]]


def settle_letters(commands: Sequence[Numbered], results: list[Result]) -> Script[None]:
    """Run *commands* and put each result in its place in *results*."""
    if not commands:
        return
    desk = yield from _hold(commands)
    for index, command in commands:
        results[index] = _settle(command, desk)
    yield from _save(desk)


# --- Hold ---------------------------------------------------------------------------------------


def _hold(commands: Sequence[Numbered]) -> Script[_Desk]:
    ids = sorted({command.id for _, command in commands})
    rows = yield from run("letters_read", id=ids)
    pairs = sorted({(row.notification_id, row.user_id) for row in rows})
    rows = yield from run("notifications_lock", id=sorted({id_ for id_, _ in pairs}))
    notifications = {row.id: _Notification(content_of_row(row), row.standing) for row in rows}
    logs = yield from hold_users(user for _, user in pairs)
    # Read again, now that the locks keep other transactions from settling them.
    rows = yield from run("letters_read", id=ids)
    letters = {row.id: _Letter(letter_of_row(row), row.status) for row in rows}
    rows = yield from run(
        "letters_places",
        notification_id=[id_ for id_, _ in pairs],
        user_id=[user for _, user in pairs],
    )
    places = {
        (row.notification_id, row.user_id): _InboxRow(
            row.sequence, row.state, row.expired_at is not None
        )
        for row in rows
    }
    return _Desk(letters, notifications, logs, places, [], {})


# --- Settle -------------------------------------------------------------------------------------


def _settle(command: ReplayLetter | DiscardLetter, desk: _Desk) -> Result:
    letter = desk.letters.get(command.id)
    if letter is None:
        return NotFound()
    if isinstance(command, DiscardLetter):
        if letter.status == _DEAD:
            _mark_settled(letter, _DISCARDED, command.now_ms, desk)
        return Done()
    notification = desk.notifications.get(letter.row.notification)
    place = desk.places.get((letter.row.notification, letter.row.user))
    log = desk.logs.get(letter.row.user)
    if letter.status != _DEAD:
        return NotActive(letter.status)
    if notification is None or place is None or log is None:
        return NotFound()
    if State.WITHDRAWN in (notification.standing, place.state):
        return NotActive(State.WITHDRAWN)
    lives_until = None
    if notification.standing == Standing.EXPIRED:
        if notification.content.topic is not None:
            # It would live again for every subscriber who was not brought up to date since.
            return NotActive(Standing.EXPIRED)
        _revive(notification, letter.row, command.now_ms)
        lives_until = notification.content.expires_at
    _replay(letter.row, place, log, command.now_ms, desk)
    _mark_settled(letter, _REPLAYED, command.now_ms, desk)
    return LetterReplayed(letter.row.user, log.head, lives_until)


def _mark_settled(letter: _Letter, status: str, now_ms: int, desk: _Desk) -> None:
    letter.status = status
    desk.settled[letter.row.id] = status, now_ms


def _replay(letter: DeadLetter, place: _InboxRow, log: UserLog, now_ms: int, desk: _Desk) -> None:
    # An expired notification was taken off the counters, and counts again now.
    counts = counted(place.state) if place.expired else (0, 0)
    earlier, place.sequence = place.sequence, log.append(now_ms, *counts)
    place.expired = False
    place.replayed = True
    desk.resends.append(_Resend(letter, earlier, place.sequence))


def _revive(notification: _Notification, letter: DeadLetter, now_ms: int) -> None:
    """Let *notification* live from *now_ms* on, for as long as it did the first time."""
    content = notification.content
    until = to_rfc3339(now_ms + _lifetime(content, letter))
    notification.content = patched(content, Patch(expires_at=until), now_ms)
    notification.standing = Standing.ACTIVE
    notification.revived = True


def _lifetime(content: Content, letter: DeadLetter) -> int:
    """How long (ms) the notification of *letter* lived the first time.

    A node whose clock differs from that of the first may have let it expire before it was created.
    Such times tell nothing.
    """
    assert content.expires_at is not None
    ends = [content.expires_at, *_expiries(letter)]
    return min(
        [end - content.created_at for end in ends if end > content.created_at], default=_LIFETIME
    )


def _expiries(letter: DeadLetter) -> list[int]:
    """The times (Unix ms) at which the notification of *letter* has expired before.

    The first of them tells its first life; its present `expires_at` may be that of a later life.
    """
    events = msgspec.json.decode(letter.history)
    return [event["at"] for event in events if event.get("cause") == "expired"]


# --- Save ---------------------------------------------------------------------------------------


def _save(desk: _Desk) -> Script[None]:
    revived = [each.content for each in desk.notifications.values() if each.revived]
    yield from run("notifications_revive", **_NOTIFICATIONS_REVIVE(revived))
    yield from save_users(desk.logs)
    moved = {pair: place for pair, place in sorted(desk.places.items()) if place.replayed}
    yield from run(
        "letters_revive",
        notification_id=[id_ for id_, _ in moved],
        user_id=[user for _, user in moved],
        sequence=[place.sequence for place in moved.values()],
    )
    yield from _resend(desk.resends)
    yield from run(
        "letters_settle",
        id=list(desk.settled),
        status=[status for status, _ in desk.settled.values()],
        at=[at for _, at in desk.settled.values()],
    )


def _resend(resends: Iterable[_Resend]) -> Script[None]:
    # Two letters for one notification and user move the same ledger lines twice, which one
    # statement cannot do.
    rounds: list[dict[tuple[str, str], _Resend]] = []
    for each in resends:
        key = (each.letter.notification, each.letter.user)
        for turn in rounds:
            if key not in turn:
                turn[key] = each
                break
        else:
            rounds.append({key: each})
    for turn in rounds:
        yield from run(
            "letters_resend",
            **_LETTERS_RESEND(turn.values()),
            device_id=[each.letter.device or "" for each in turn.values()],
        )
