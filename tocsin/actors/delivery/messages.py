"""What a user actor is told."""

from __future__ import annotations

import math

import msgspec
import outcome

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime import Request
from tocsin.persistence.store import (
    AcknowledgedPartly,
    Attached,
    Page,
    Position,
    RecipientState,
    TooMany,
)
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.terms import Acknowledging


class Arrived(msgspec.Struct, frozen=True):
    """A device has said hello on a connection; *expires_at* is its token's (Unix ms)."""

    outlet: Outlet
    device: str
    cursor: Cursor | None
    window: int
    expires_at: int | None
    acknowledging: Acknowledging = Acknowledging.EXPLICIT

    @property
    def tells_all(self) -> bool:
        """Whether the device says with its cursor all that it has ever acknowledged."""
        return self.cursor is not None and self.acknowledging is not Acknowledging.EXPLICIT


class Said(msgspec.Struct, frozen=True):
    """A device acknowledged or refused pushes."""

    connection: str
    frame: frames.Ack | frames.Nack


class Refreshed(msgspec.Struct, frozen=True):
    """A connection showed a newer token, which ends at *expires_at* (Unix ms)."""

    connection: str
    expires_at: int | None


class Taken(msgspec.Struct, frozen=True):
    """A transport has handed over everything up to *sequence*; not that it has arrived."""

    connection: str
    sequence: int


class Left(msgspec.Struct, frozen=True):
    """A connection has ended."""

    connection: str


class SharedChange(msgspec.Struct, frozen=True):
    """A committed change, made once for all its recipients.

    *unseen_view* is what a client sees whose user has not seen it: nearly everybody's.
    """

    notification: str
    change: str
    document: str
    unseen_view: bytes
    expires_at: int | None


class LogChanged(msgspec.Struct, frozen=True):
    """The user's log has a new entry; *state* is the recipient's own, if it is not `unseen`."""

    shared: SharedChange
    position: Position
    state: RecipientState | None = None


class HeadMoved(msgspec.Struct, frozen=True):
    """The user's log has reached *head*, says somebody who does not have the entries."""

    head: int


class Recounted(msgspec.Struct, frozen=True):
    """The user's counters have changed without an entry of the log: something has expired."""


class Acknowledged(msgspec.Struct, frozen=True):
    """The store has noted that *device* has everything *through* a sequence, or *ids*.

    *session* was the one that the device had open then; *ids* are of no later one.
    """

    device: str
    through: int | None
    ids: tuple[str, ...]
    session: str | None


class DeviceRemoved(msgspec.Struct, frozen=True):
    """The store has forgotten *device*."""

    device: str


class StoreChanged(msgspec.Struct, frozen=True):
    """The store was lost, or is back."""

    available: bool


class Disconnect(msgspec.Struct, frozen=True):
    """End the user's connections that began before *before* (Trio time)."""

    closing: Closing
    before: float = math.inf


class BusChanged(msgspec.Struct, frozen=True):
    """This node does not hear the others any more, or hears them again."""

    available: bool


class Listening(msgspec.Struct, frozen=True):
    """What other nodes say of the user is heard now; or there is no point in waiting for that."""


class Echoed(msgspec.Struct, frozen=True):
    """All nodes have been told by now that the device on *connection* has arrived here, or is."""

    connection: str


class ArrivedElsewhere(msgspec.Struct, frozen=True):
    """*device* has attached to another node, when the user's log had *head*."""

    device: str
    head: int


class Introduce(msgspec.Struct, frozen=True):
    """Something was missed: tell the other nodes which devices are here, and since when."""


class HereElsewhere(msgspec.Struct, frozen=True):
    """*device* is connected to another node *since* (our Trio time); *rank* decides a tie."""

    device: str
    rank: str
    since: float


class Settle(Request[None]):
    """Answer when all is noted in the ledger that came before."""


class Settled(msgspec.Struct, frozen=True):
    """The earlier session of the device on *connection* is settled, or is not waited for."""

    connection: str


class AttachDone(msgspec.Struct, frozen=True):
    """The store has said where a device starts, or why it cannot."""

    connection: str
    outcome: outcome.Outcome[Attached | AcknowledgedPartly | TooMany]


class PageDone(msgspec.Struct, frozen=True):
    """The store has read a device's next page, or could not."""

    connection: str
    outcome: outcome.Outcome[Page]


UserMessage = (
    Arrived
    | Said
    | Refreshed
    | Taken
    | Left
    | LogChanged
    | HeadMoved
    | Recounted
    | Acknowledged
    | DeviceRemoved
    | StoreChanged
    | BusChanged
    | Listening
    | Echoed
    | ArrivedElsewhere
    | Introduce
    | HereElsewhere
    | Disconnect
    | Settle
    | Settled
    | AttachDone
    | PageDone
)
