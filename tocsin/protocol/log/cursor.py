"""Where a device stands in its user's log: epoch and sequence.

The epoch names the incarnation of the store. A cursor from another epoch points into a log that
no longer exists, so its number says nothing: it is answered with `reset`, never with a guess.

A log is not purged from its beginning on: archived notifications are purged before older ones that
are unread. So the horizon means "some entries up to here were purged", not "none is left". A device
whose cursor is below it may show a notification whose end it has missed, so it starts anew; and it
starts at 0, so that the entries left below the horizon are replayed too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from tocsin.protocol.errors import ProtocolError

_CURSOR = re.compile(r"([A-Za-z0-9]{1,32})\.([0-9]{1,18})(?:~([0-9]{1,18}))?")

BEGINNING = "0"
"""The one cursor that needs no epoch: everything that is retained, whatever was there before."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including *sequence* of the log of *epoch*.

    *everything* marks the client's `"0"`. It is no position: a device that stood at `<epoch>.0`
    when the log's first entries were purged has lost them and has to be told so, a device that
    says `"0"` asks for what there is.

    *horizon* is the log's horizon at the moment when the client began anew. A client that replays
    the log from its beginning passes places below the horizon, and may leave and come back there,
    having missed nothing.

    A cursor that does not *acknowledge* is one that the client's program has not chosen, such as
    the last id that an EventSource sends by itself: a device that is known starts where it stopped.
    """

    epoch: str
    sequence: int
    everything: bool = False
    horizon: int = 0
    acknowledges: bool = True

    def __str__(self) -> str:
        if self.everything:
            return BEGINNING
        place = f"{self.epoch}.{self.sequence}"
        return f"{place}~{self.horizon}" if self.sequence < self.horizon else place

    def moved(self, sequence: int) -> Cursor:
        """The place at *sequence* for a client that began here."""
        return Cursor(self.epoch, sequence, horizon=self.horizon)


class ResetReason(StrEnum):
    """Why a cursor cannot be served exactly."""

    EPOCH = "epoch"
    HORIZON = "horizon"


class UnreadableCursor(ProtocolError, ValueError):
    """This text is no cursor that a server of ours ever wrote."""


def parse_cursor(text: str, epoch: str) -> Cursor:
    """Read a client's cursor; `"0"` means the beginning of *epoch*.

    Raises `UnreadableCursor` for text that no server of ours ever wrote.
    """
    if text == BEGINNING:
        return Cursor(epoch, 0, everything=True)
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise UnreadableCursor("not a cursor: expected the text that the server gave, or 0")
    return Cursor(match[1], int(match[2]), horizon=int(match[3] or 0))


@dataclass(frozen=True, slots=True)
class LogState:
    """The store's knowledge of one user and one device when the device arrives.

    *head* is the last sequence of the log, *horizon* the greatest one that was purged from it,
    *stored* the device's own cursor (`None`: never seen before), *first_unacknowledged* the
    sequence of the user's first notification that no device has acknowledged, if there is one.
    """

    head: int
    horizon: int
    stored: int | None
    first_unacknowledged: int | None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins, and whether the client must drop what it has first."""

    sequence: int
    reset: ResetReason | None
    resumed: bool


def choose_start(requested: Cursor | None, epoch: str, state: LogState) -> Start:
    """Decide where a device starts, by the rules of `hello` (docs/protocol.md).

    A cursor beyond the head can only come from a log that was longer than ours, such as one
    restored from a backup, so it counts as another epoch.
    """
    if requested is not None and not _stopped_before(requested, epoch, state.stored):
        if requested.everything:
            return Start(0, None, resumed=False)
        if requested.epoch != epoch or requested.sequence > state.head:
            return Start(0, ResetReason.EPOCH, resumed=False)
        if max(requested.sequence, requested.horizon) < state.horizon:
            return Start(0, ResetReason.HORIZON, resumed=False)
        return Start(requested.sequence, None, resumed=True)
    if state.stored is not None:
        if state.stored < state.horizon:
            return Start(0, ResetReason.HORIZON, resumed=False)
        return Start(min(state.stored, state.head), None, resumed=True)
    if state.first_unacknowledged is not None:
        return Start(state.first_unacknowledged - 1, None, resumed=False)
    return Start(state.head, None, resumed=False)


def _stopped_before(requested: Cursor, epoch: str, stored: int | None) -> bool:
    """Whether the device has not acknowledged all up to *requested*, nor does so by naming it."""
    if requested.acknowledges or requested.epoch != epoch or stored is None:
        return False
    return stored < requested.sequence
