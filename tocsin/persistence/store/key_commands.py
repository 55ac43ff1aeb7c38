"""Credentials in the store: commands, each with its result.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Done, NotFound, TooMany


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as it is stored: the *hash* of its text, never the text. Times are Unix ms."""

    id: str
    hash: bytes
    scopes: tuple[str, ...]
    name: str
    created_at: int
    revoked_at: int | None = None


class CreateKey(Command[Done], frozen=True):
    key: ApiKey


class RevokeKey(Command[Done | NotFound], frozen=True):
    """Revoke the key *id*. Result: `Done`, also if it was revoked before, or `NotFound`."""

    id: str
    now_ms: int


class StoredTicket(msgspec.Struct, frozen=True):
    """A ticket waiting to be used; the times are Unix milliseconds.

    *principal_expires_at* is the time at which the token that bought the ticket expires, if that is
    known. A ticket stands for its user and carries no scopes. One with a *device* is for that
    device's stream, and lets the device come back until the ticket expires. *origin* is the origin
    of the page that used it first, `""` for a client without one, and `None` before the first use.
    """

    hash: bytes
    user: str
    expires_at: int
    principal_expires_at: int | None
    device: str | None = None
    origin: str | None = None


class CreateTicket(Command[Done | TooMany], frozen=True):
    """Store *ticket*; tickets of its user that have expired by *now_ms* are forgotten.

    The ticket of a stream replaces the one that its device had. If the user has *tickets_max*
    tickets already, tickets of streams make room, the earliest to expire first. Result: `Done`, or
    `TooMany` if there are none of streams. Nodes that do this at the same moment may exceed the
    limit by a few.
    """

    ticket: StoredTicket
    now_ms: int = 0
    tickets_max: int = 1_000_000


class TakeTicket(Command[StoredTicket | NotFound], frozen=True):
    """Remove a ticket. Result: `StoredTicket`, expired or not; `NotFound` the second time.

    The ticket of a stream is not removed, and may be taken again.
    """

    hash: bytes


class BindTicket(Command[StoredTicket | NotFound], frozen=True):
    """Bind a stream's ticket to the *origin* of the page that uses it, unless it is bound already.

    Result: `StoredTicket` with the origin that it is bound to now, or `NotFound`.
    """

    hash: bytes
    origin: str


class RevokeTickets(Command[Done], frozen=True):
    """Remove all tickets of *user*. Result: `Done`."""

    user: str
