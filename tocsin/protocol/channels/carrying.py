"""Parcels for carriers, and a carrier's word on each.

A carrier is the program's hand on a channel: SMTP, a push service, a URL. It is handed a *parcel*,
for one address, and tells what became of it in one word of five. A failure is the fault of this
parcel (rejected), of the address (gone), of the moment (later), or of the channel as a whole
(down), and that decides what follows: the last pauses the channel and not each send.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class CarriedNotification(msgspec.Struct, frozen=True):
    """One notification of a parcel: its *document* as JSON, and when it expires (Unix ms)."""

    id: str
    document: str
    expires_at: int | None = None

    def fields(self) -> dict[str, Any]:
        """The notification's fields, as clients see them."""
        decoded: dict[str, Any] = msgspec.json.decode(self.document)
        return decoded


class Parcel(msgspec.Struct, frozen=True):
    """*notifications*, the oldest first, for the address *name* of *user*; several are a digest.

    *value* is the address as the channel understands it. *send* is the id of the first send: a
    repetition of a parcel has the same.
    """

    send: str
    user: str
    name: str
    value: str
    notifications: tuple[CarriedNotification, ...]
    now_ms: int


class Accepted(msgspec.Struct, frozen=True):
    """The other side has taken it."""


class TryLater(msgspec.Struct, frozen=True):
    """It may be taken later: not before *after* seconds, if the other side said so.

    *attempts_max* is the number of attempts at all, where repeating does harm.
    """

    reason: str
    after: float | None = None
    attempts_max: int | None = None


class AddressGone(msgspec.Struct, frozen=True):
    """There is no such address any more. *at_once*: it is so, and not only likely."""

    reason: str
    at_once: bool = True


class Rejected(msgspec.Struct, frozen=True):
    """This parcel will never be taken."""

    reason: str


class ChannelDown(msgspec.Struct, frozen=True):
    """Nothing can be carried now, whatever it is. *refused* says that an operator has to act."""

    reason: str
    after: float | None = None
    refused: bool = False


Carried = Accepted | TryLater | AddressGone | Rejected | ChannelDown


class ChannelCarrier(Protocol):
    """A channel's hand. `carry` never raises, but for a bug."""

    async def carry(self, parcel: Parcel) -> Carried:
        """Carry *parcel*, within `LEASE` / 4 seconds. Cancelled, it may have been taken."""
