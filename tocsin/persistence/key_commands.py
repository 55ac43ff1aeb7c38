"""Credentials in the store: commands, each with its result.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as it is kept: never its text."""

    id: str
    hash: bytes
    scopes: tuple[str, ...]
    name: str
    created_at: int
    revoked_at: int | None = None


class CreateKey(msgspec.Struct, frozen=True):
    key: ApiKey


class RevokeKey(msgspec.Struct, frozen=True):
    """Result: `Done`, also when it was revoked before, or `NotFound`."""

    id: str
    now_ms: int


class StoredTicket(msgspec.Struct, frozen=True):
    """A ticket waiting to be used; the times are Unix milliseconds.

    *principal_expires_at* is when the token that bought it expires, if that is known. A ticket
    stands for its user and carries no scopes.
    """

    hash: bytes
    user: str
    expires_at: int
    principal_expires_at: int | None


class CreateTicket(msgspec.Struct, frozen=True):
    """Keep *ticket*; those of its user that have expired by *now_ms* are forgotten.

    Result: `Done`, or `TooMany` where *most* of the user's wait to be used already. Nodes that do
    it at the same moment may exceed that by a few.
    """

    ticket: StoredTicket
    now_ms: int = 0
    most: int = 1_000_000


class TakeTicket(msgspec.Struct, frozen=True):
    """Remove a ticket; result: `StoredTicket`, expired or not, or `NotFound` the second time."""

    hash: bytes
