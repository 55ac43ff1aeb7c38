"""The messages of a user's actor: for one connection, one device, all devices, or the actor itself.

A device that connects again before its old connection has ended has several connections for a
moment.
"""

from __future__ import annotations

import math

import msgspec
import outcome

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime.ref import Request
from tocsin.persistence.store.commands import Counters, TooMany
from tocsin.persistence.store.queries import Page
from tocsin.persistence.store.user_commands import AcknowledgedPartly, Attached
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.news import Position, RecipientState

Placed = Attached | AcknowledgedPartly | TooMany
"""The store's answers to a device that asks where its session starts."""


class ForConnection(msgspec.Struct, frozen=True):
    """A message for the device on one *connection* of the user."""

    connection: str


class ForDevice(msgspec.Struct, frozen=True):
    """A message for the user's *device*, on all of its connections."""

    device: str


class ForAll(msgspec.Struct, frozen=True):
    """A message for all devices of the user."""


# --- For one connection ---------------------------------------------------------------------------


class DeviceAnswered(ForConnection, frozen=True, gc=False):
    """The device has acknowledged or refused pushes."""

    frame: frames.Ack | frames.Nack


class Refreshed(ForConnection, frozen=True):
    """The client has shown a newer token, which ends at *expires_at* (Unix ms)."""

    expires_at: int | None


class Taken(ForConnection, frozen=True):
    """The socket has taken every push up to *sequence*, which need not have arrived yet."""

    sequence: int


class Left(ForConnection, frozen=True):
    """The connection has ended."""


class Rested(ForConnection, frozen=True):
    """The connection has ended with the answer to a poll, and the device may come back at once."""


class Echoed(ForConnection, frozen=True):
    """This node's own word that the device has arrived here has come back over the bus.

    So all nodes have been told by now. The word that the device is here counts as well.
    """


class Settled(ForConnection, frozen=True):
    """The device need not wait for its earlier session, which is settled or takes too long."""


class AttachDone(ForConnection, frozen=True):
    """The store has answered where the device's session starts, or why it cannot start."""

    outcome: outcome.Outcome[Placed]


class PageDone(ForConnection, frozen=True):
    """The store has read the device's next page, or could not."""

    outcome: outcome.Outcome[Page]


ConnectionMessage = (
    DeviceAnswered | Refreshed | Taken | Left | Rested | Echoed | Settled | AttachDone | PageDone
)


# --- For one device -------------------------------------------------------------------------------


class Acknowledged(ForDevice, frozen=True):
    """The store has noted that the device has everything *through* a sequence, or *ids*.

    *session* is the session that the device had open then; the *ids* mean nothing in a later one.
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
    """The device is connected to another node *since* (this node's Trio time).

    Between connections that began at the same time, *rank* decides.
    """

    rank: str
    since: float


DeviceMessage = Acknowledged | DeviceRemoved | ArrivedElsewhere | HereElsewhere


# --- For all devices ------------------------------------------------------------------------------


class HeadMoved(ForAll, frozen=True):
    """The user's log has reached *head*; the device reads the entries from the store."""

    head: int


class UserRecounted(ForAll, frozen=True):
    """The user's counters have changed without an entry of the log: something has expired."""


class CountersFound(ForAll, frozen=True):
    """A look into the store has found these counters; a device that was told others reads it."""

    counters: Counters


class StoreChanged(ForAll, frozen=True):
    """The store was lost, or is back."""

    available: bool


class BusChanged(ForAll, frozen=True):
    """This node does not hear the others any more, or hears them again."""

    available: bool


class Listening(ForAll, frozen=True):
    """This node hears now what others say of the user, or a device need not wait for that."""


class Introduce(ForAll, frozen=True):
    """Tell the other nodes which devices are here, and since when: envelopes may have been missed.

    A device may have connected to another node in the meantime.
    """


class Disconnect(ForAll, frozen=True):
    """End the connections that began before *before* (Trio time)."""

    closing: Closing
    before: float = math.inf


MessageForAll = (
    HeadMoved
    | UserRecounted
    | CountersFound
    | StoreChanged
    | BusChanged
    | Listening
    | Introduce
    | Disconnect
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


class SharedChange(msgspec.Struct, frozen=True, gc=False):
    """A committed change, made once for all its recipients.

    *unseen_view* is the view of a recipient who has not seen the notification, as nearly all have
    not. *expires_at* is in Unix milliseconds.
    """

    notification: str
    change: str
    document: str
    unseen_view: bytes
    expires_at: int | None


class LogChanged(msgspec.Struct, frozen=True, gc=False):
    """The user's log has a new entry; *state* is the recipient's, unless that is `unseen`."""

    shared: SharedChange
    position: Position
    state: RecipientState | None = None


class Settle(Request[None]):
    """Answer when all acknowledgments that came before are noted in the ledger."""


UserMessage = ConnectionMessage | DeviceMessage | MessageForAll | Arrived | LogChanged | Settle
