"""The inputs and outputs of a device's delivery, as values.

An output is an order to the driver, which carries out all outputs of an input, in their order. If
one is refused (`Note`, `AskPlace`, `AskPage`), the driver says so to the delivery, carries out
the outputs of that, and drops the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.terms import SEEN_INTERVAL, Acknowledging, SessionLimits
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, Start
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.log.push import LogEntry, PageWanted, Push

# --- In -------------------------------------------------------------------------------------------


class DeliveryTerms(msgspec.Struct, frozen=True):
    """A device that has said hello on a *connection* to *node*, and how it is served.

    *session* is a name that no other session of the device has, on any node, in any of its lives;
    *cursor* is the one that the device came with, if any; *heartbeat* and *seen_interval* are in
    seconds, *expires_at* is the end of the token in Unix milliseconds, `None` for a token without
    an end.
    """

    user: str
    device: str
    connection: str
    node: str
    session: str
    cursor: Cursor | None
    limits: SessionLimits
    heartbeat: float
    expires_at: int | None = None
    acknowledging: Acknowledging = Acknowledging.EXPLICIT
    seen_interval: float = SEEN_INTERVAL


class Attachment(msgspec.Struct, frozen=True):
    """Where the store of *epoch* has the device start, and what its user's log was at that moment.

    *horizon*: of entries up to it, some were purged.
    """

    epoch: str
    start: Start
    head: int
    horizon: int
    unread: int
    unseen: int


class LogPage(msgspec.Struct, frozen=True):
    """*entries* of the log, complete up to *through*; all is of the moment when it had *head*."""

    entries: Sequence[LogEntry]
    through: int
    head: int
    horizon: int
    unread: int
    unseen: int


class Hops(NamedTuple):
    """Whether the hops behind the connection work."""

    bus: bool
    store: bool

    @property
    def status(self) -> frames.Status:
        return frames.Status(bus="ok" if self.bus else "lost", store="ok" if self.store else "lost")


# --- Out: to the outlet ---------------------------------------------------------------------------


class BeginAt(msgspec.Struct, frozen=True, gc=False):
    """A session begins, or begins anew, at *cursor*."""

    cursor: Cursor


class Say(msgspec.Struct, frozen=True, gc=False):
    """Send *frame*, behind what came before it."""

    frame: frames.ServerFrame


class SendPing(msgspec.Struct, frozen=True, gc=False):
    """Ask the device for a sign of life."""


class End(msgspec.Struct, frozen=True, gc=False):
    """Say goodbye and close; to come back helps after *after* seconds. *detail*: what was wrong."""

    closing: Closing
    after: float = 0.0
    detail: str = ""


# --- Out: to the store, the ledger and the other nodes --------------------------------------------


class AskPlace(msgspec.Struct, frozen=True, gc=False):
    """Ask the store where a device with *cursor* starts."""

    cursor: Cursor | None


class AskPage(msgspec.Struct, frozen=True, gc=False):
    """Read the page that is *wanted*, for a session that started at *start*.

    The log had the head *began* then; *resumed* says that the device has what lies before *start*.
    """

    start: int
    began: int
    resumed: bool
    wanted: PageWanted


class Note(msgspec.Struct, frozen=True, gc=False):
    """Note lines in the ledger, and how far the device is, if it is further than before.

    A device that stays is noted where it is from time to time: the store forgets devices that were
    not seen for long.
    """

    records: Sequence[DeliveryRecord]
    cursor: DeviceCursor | None


class NoteEnd(msgspec.Struct, frozen=True, gc=False):
    """Note in the ledger that the session is over: all its lines are noted."""

    end: SessionEnd


class AnnounceArrival(msgspec.Struct, frozen=True, gc=False):
    """Tell the other nodes that the device has attached here, when the log had *head*."""

    head: int


class AnnouncePresence(msgspec.Struct, frozen=True, gc=False):
    """Tell the other nodes since when the device has been connected here."""

    since: float


Output = (
    Push
    | BeginAt
    | Say
    | SendPing
    | End
    | AskPlace
    | AskPage
    | Note
    | NoteEnd
    | AnnounceArrival
    | AnnouncePresence
)


def welcome(terms: DeliveryTerms, attachment: Attachment) -> frames.Welcome:
    """The frame for a device that has attached."""
    limits = terms.limits
    return frames.Welcome(
        user=terms.user,
        device=terms.device,
        connection=terms.connection,
        node=terms.node,
        epoch=attachment.epoch,
        cursor=str(Cursor(attachment.epoch, attachment.start.sequence)),
        head=attachment.head,
        unread=attachment.unread,
        unseen=attachment.unseen,
        resumed=attachment.start.resumed,
        heartbeat=terms.heartbeat,
        window=limits.window,
        resend=frames.Resend(limits.resend.first, limits.resend_limit),
    )
