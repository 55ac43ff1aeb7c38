"""A few connections to Postgres, for coroutines that each use one for one call.

Why not asyncpg's own pool: it spends a round trip on resetting every connection that comes back,
waits on release for a server that may be hanging, and fails to be made while the server is away.
Here a connection that comes back after anything but success is dropped without a word to the
server, because nobody can tell what it is in the middle of; the next call connects anew.

Asyncio code: everything here runs inside the trio-asyncio loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

FAREWELL_TIMEOUT = 1.0
"""Seconds to say goodbye to the server when closing."""


class Pool:
    """At most *size* connections to *url*, made when needed, with the session's *settings*."""

    def __init__(self, url: str, *, size: int, settings: Mapping[str, str]) -> None:
        self._url = url
        self._settings = dict(settings)
        self._room = asyncio.Semaphore(size)
        # The one used last is taken first: the others, in quiet times, do no harm by growing old.
        self._idle: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one call; waits for room. Deadlines are the caller's."""
        async with self._room:
            connection = self._take() or await self._connect()
            try:
                yield connection
            except BaseException:
                self._drop(connection)
                raise
            self._put(connection)

    def reopen(self) -> None:
        self._closed = False

    async def aclose(self) -> None:
        """Close what is idle; what is in use is closed as it comes back. Never raises."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            # A server that is away or hangs does not hear it, and need not.
            with suppress(Exception):
                await connection.close(timeout=FAREWELL_TIMEOUT)
            connection.terminate()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _put(self, connection: Connection) -> None:
        if self._closed:
            connection.terminate()
        else:
            self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.is_closed():
            # Where one was cut off, the others were too, or lead to a server that was replaced.
            for each in self._idle:
                each.terminate()
            self._idle.clear()
        connection.terminate()

    async def _connect(self) -> Connection:
        connection: Connection = await asyncpg.connect(
            self._url,
            server_settings=self._settings,
            # Our statements are few and never change: prepare each once per connection.
            max_cached_statement_lifetime=0,
        )
        return connection
