"""Credentials in the store: commands, each with its result.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Done, NotFound, TooMany


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as it is kept: never its text."""

    id: str
    hash: bytes
    scopes: tuple[str, ...]
    name: str
    created_at: int
    revoked_at: int | None = None


class CreateKey(Command[Done], frozen=True):
    key: ApiKey


class RevokeKey(Command[Done | NotFound], frozen=True):
    """Result: `Done`, also when it was revoked before, or `NotFound`."""

    id: str
    now_ms: int


class StoredTicket(msgspec.Struct, frozen=True):
    """A ticket waiting to be used; the times are Unix milliseconds.

    *principal_expires_at* is when the token that bought it expires, if that is known. A ticket
    stands for its user and carries no scopes. With a *device* it is a stream's: it lets that device
    come back until it expires. *origin* is that of the page which used it first, `""` for none, and
    not known before.
    """

    hash: bytes
    user: str
    expires_at: int
    principal_expires_at: int | None
    device: str | None = None
    origin: str | None = None


class CreateTicket(Command[Done | TooMany], frozen=True):
    """Keep *ticket*; those of its user that have expired by *now_ms* are forgotten.

    A stream's takes the place of the one that its device had. Where the user has *tickets_max*
    already, those of streams that expire first make room; the result is `Done`, or `TooMany` where
    there are none. Nodes that do it at the same moment may exceed that by a few.
    """

    ticket: StoredTicket
    now_ms: int = 0
    tickets_max: int = 1_000_000


class TakeTicket(Command[StoredTicket | NotFound], frozen=True):
    """Remove a ticket; result: `StoredTicket`, expired or not, or `NotFound` the second time.

    That of a stream stays, and may be taken again.
    """

    hash: bytes


class BindTicket(Command[StoredTicket | NotFound], frozen=True):
    """Bind a stream's ticket to the *origin* that uses it, unless it is bound.

    Result: `StoredTicket` with the origin that it is bound to, or `NotFound`.
    """

    hash: bytes
    origin: str


class RevokeTickets(Command[Done], frozen=True):
    """Remove all tickets of *user*; result: `Done`."""

    user: str
