"""Ends the connections whose API key has been revoked.

A key is checked when a connection begins and never asked for again, so an open one would outlive
it. Every few seconds the keys of all open connections are looked up together; that works wherever
the key was revoked, by another node or by a command, and needs nobody to say so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import trio

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.storage.requests import Read, StorageMessage
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindKey
from tocsin.protocol.closing import Closing
from tocsin.server.auth.principal import Principal

INTERVAL: Final = 3.0
"""Seconds between two looks: how long a revoked key may go on, at most."""
_PREFIX: Final = "key:"


class KeyWatch:
    """The open connections that an API key has begun. It outlives the `KeyWatcher`."""

    def __init__(self) -> None:
        self._watched: dict[str, tuple[Outlet, str]] = {}

    def belongs(self, outlet: Outlet, principal: Principal) -> None:
        """*outlet* is *principal*'s from now on; nothing to watch if that is no API key."""
        self.closed(outlet.connection)
        credential = principal.credential
        if credential.startswith(_PREFIX):
            self._watched[outlet.connection] = outlet, credential.removeprefix(_PREFIX)

    def closed(self, connection: str) -> None:
        """*connection* has ended; again is no harm."""
        self._watched.pop(connection, None)

    def keys(self) -> set[str]:
        """The keys of all open connections."""
        return {key for _, key in self._watched.values()}

    def revoked(self, keys: Collection[str]) -> None:
        """End the connections of *keys*."""
        for outlet, key in list(self._watched.values()):
            if key in keys:
                outlet.end(Closing.UNAUTHENTICATED, detail="key_revoked: the key was revoked.")


class KeyWatcher(TableWorker):
    """See the module; a store that is away is asked again the next time."""

    def __init__(self, storage: Ref[StorageMessage], watch: KeyWatch) -> None:
        self._storage = storage
        self._keys = watch

    def tasks(self) -> Tasks:
        """One that looks now and then."""
        return (self._watch,)

    async def _watch(self) -> None:
        while True:
            await trio.sleep(INTERVAL)
            if keys := self._keys.keys():
                await self._look(keys)

    async def _look(self, keys: Collection[str]) -> None:
        reads = {key: Read(query=FindKey(key)) for key in keys}
        revoked = set()
        try:
            for read in reads.values():
                await self._storage.send(read)
            for key, read in reads.items():
                found = await read.reply.wait()
                if isinstance(found, NotFound) or found.revoked_at is not None:
                    revoked.add(key)
        except (StoreUnavailable, StoreFailed, ActorError):
            return
        self._keys.revoked(revoked)
