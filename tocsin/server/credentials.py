"""Between authentication and the storage actor: where keys are found and tickets taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tocsin.actors.runtime.ref import Ref
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.key_commands import ApiKey, TakeTicket
from tocsin.persistence.store.queries import FindKey
from tocsin.server.auth.keys import StoredKey
from tocsin.server.auth.tickets import Ticket
from tocsin.server.services import ask_storage


def key_finder(
    storage: Ref[StorageMessage], timeout: float
) -> Callable[[str], Awaitable[StoredKey | None]]:
    """Finds API keys by their id, each time within *timeout* seconds; raises `Refused`."""

    async def find(key_id: str) -> StoredKey | None:
        found = await ask_storage(storage, Read(query=FindKey(key_id)), timeout)
        return None if isinstance(found, NotFound) else stored_key(found)

    return find


def ticket_taker(
    storage: Ref[StorageMessage], timeout: float
) -> Callable[[bytes], Awaitable[Ticket | None]]:
    """Takes tickets by their hash, each at most once; raises `Refused`."""

    async def take(ticket_hash: bytes) -> Ticket | None:
        taken = await ask_storage(storage, Write(command=TakeTicket(ticket_hash)), timeout)
        if isinstance(taken, NotFound):
            return None
        principal_expires_at = taken.principal_expires_at
        return Ticket(
            user=taken.user,
            expires_at=taken.expires_at / 1000,
            principal_expires_at=None
            if principal_expires_at is None
            else principal_expires_at / 1000,
            device=taken.device,
            origin=taken.origin,
        )

    return take


def stored_key(key: ApiKey) -> StoredKey:
    """The store's record, in the words and units of authentication."""
    return StoredKey(
        id=key.id,
        hash=key.hash,
        scopes=frozenset(key.scopes),
        name=key.name,
        created_at=key.created_at / 1000,
        revoked_at=None if key.revoked_at is None else key.revoked_at / 1000,
    )
