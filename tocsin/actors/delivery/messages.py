"""What a user actor is told, by whom it concerns: a connection, a device, all devices, or itself.

A device may have several connections at once for a moment, when it comes back before the one that
it had has ended.
"""

from __future__ import annotations

import math

import msgspec
import outcome

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime import Request
from tocsin.persistence.store import AcknowledgedPartly, Attached, Page, TooMany
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.news import Position, RecipientState
from tocsin.protocol.terms import Acknowledging

Placed = Attached | AcknowledgedPartly | TooMany
"""What the store answers to a device that asks where it starts."""


class ForConnection(msgspec.Struct, frozen=True):
    """For the device on one *connection* of the user's."""

    connection: str


class ForDevice(msgspec.Struct, frozen=True):
    """For the user's *device*, on whichever connection."""

    device: str


class ForAll(msgspec.Struct, frozen=True):
    """For all devices of the user."""


# --- For one connection ---------------------------------------------------------------------------


class DeviceAnswered(ForConnection, frozen=True):
    """The device acknowledged or refused pushes."""

    frame: frames.Ack | frames.Nack


class Refreshed(ForConnection, frozen=True):
    """The connection showed a newer token, which ends at *expires_at* (Unix ms)."""

    expires_at: int | None


class Taken(ForConnection, frozen=True):
    """The transport has handed over everything up to *sequence*; not that it has arrived."""

    sequence: int


class Left(ForConnection, frozen=True):
    """The connection has ended."""


class Echoed(ForConnection, frozen=True):
    """All nodes have been told by now that the device has arrived here, or is."""


class Settled(ForConnection, frozen=True):
    """The earlier session of the device is settled, or is not waited for."""


class AttachDone(ForConnection, frozen=True):
    """The store has said where the device starts, or why it cannot."""

    outcome: outcome.Outcome[Placed]


class PageDone(ForConnection, frozen=True):
    """The store has read the device's next page, or could not."""

    outcome: outcome.Outcome[Page]


ConnectionMessage = (
    DeviceAnswered | Refreshed | Taken | Left | Echoed | Settled | AttachDone | PageDone
)


# --- For one device -------------------------------------------------------------------------------


class Acknowledged(ForDevice, frozen=True):
    """The store has noted that the device has everything *through* a sequence, or *ids*.

    *session* was the one that the device had open then; *ids* are of no later one.
    """

    through: int | None
    ids: tuple[str, ...]
    session: str | None


class DeviceRemoved(ForDevice, frozen=True):
    """The store has forgotten the device."""


class ArrivedElsewhere(ForDevice, frozen=True):
    """The device has attached to another node, when the user's log had *head*."""

    head: int


class HereElsewhere(ForDevice, frozen=True):
    """The device is connected to another node *since* (our Trio time); *rank* decides a tie."""

    rank: str
    since: float


DeviceMessage = Acknowledged | DeviceRemoved | ArrivedElsewhere | HereElsewhere


# --- For all devices ------------------------------------------------------------------------------


class HeadMoved(ForAll, frozen=True):
    """The user's log has reached *head*; the entries themselves do not come."""

    head: int


class UserRecounted(ForAll, frozen=True):
    """The user's counters have changed without an entry of the log: something has expired."""


class StoreChanged(ForAll, frozen=True):
    """The store was lost, or is back."""

    available: bool


class BusChanged(ForAll, frozen=True):
    """This node does not hear the others any more, or hears them again."""

    available: bool


class Listening(ForAll, frozen=True):
    """What other nodes say of the user is heard now; or there is no point in waiting for that."""


class Introduce(ForAll, frozen=True):
    """Something was missed: tell the other nodes which devices are here, and since when."""


class Disconnect(ForAll, frozen=True):
    """End the connections that began before *before* (Trio time)."""

    closing: Closing
    before: float = math.inf


MessageForAll = (
    HeadMoved | UserRecounted | StoreChanged | BusChanged | Listening | Introduce | Disconnect
)


# --- For the user's actor -------------------------------------------------------------------------


class Arrived(msgspec.Struct, frozen=True):
    """A device has said hello on a connection; *expires_at* is its token's (Unix ms)."""

    outlet: Outlet
    device: str
    cursor: Cursor | None
    window: int
    expires_at: int | None
    acknowledging: Acknowledging = Acknowledging.EXPLICIT


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


class Settle(Request[None]):
    """Answer when all is noted in the ledger that came before."""


UserMessage = ConnectionMessage | DeviceMessage | MessageForAll | Arrived | LogChanged | Settle
