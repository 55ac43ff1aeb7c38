"""A few connections to Postgres, for coroutines that each use one for one call.

Why not asyncpg's own pool: it spends a round trip on resetting every connection that comes back,
waits on release for a server that may be hanging, and fails to be made while the server is away.
Here a connection that comes back after anything but success is dropped without a word to the
server, because nobody can tell what it is in the middle of; the next call connects anew.

A network may have forgotten a connection on which nothing was said for a while, and swallows what
is: a call that used it would wait for as long as calls may. So one that was quiet is looked at
before it is used, for a moment; where it does not answer, those that were quiet for longer are not
asked.

Asyncio code: everything here runs inside the trio-asyncio loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from tocsin.persistence.postgres.connecting import Connection, Connector

FAREWELL_TIMEOUT = 1.0
"""Seconds to say goodbye to the server when closing."""
QUIET: Final = 5.0
"""Seconds of silence after which a connection is looked at; the writer says something sooner."""
LOOK_TIMEOUT: Final = 1.0
"""Seconds in which a quiet connection has to answer; otherwise another is made."""
AGE_MAX: Final = 1800.0
"""Seconds that a connection is used, about: servers behind a name, and memory in them, change."""
_SPREAD: Final = 0.25
"""Of the greatest age: not all are to be made anew at once."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


class Pool:
    """At most *size* connections of *connector*'s, made when needed."""

    def __init__(self, connector: Connector, *, size: int) -> None:
        self._connector = connector
        self._room = asyncio.Semaphore(size)
        # The one used last is taken first: the others, in quiet times, do no harm by growing old.
        self._idle: list[Connection] = []
        self._partings: set[asyncio.Task[None]] = set()
        self._made = 0
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one call; waits for room. Deadlines are the caller's."""
        async with self._room:
            connection = await self._take() or await self._connect()
            try:
                yield connection
            except BaseException:
                self._drop(connection)
                raise
            self._put(connection)

    def reopen(self) -> None:
        self._closed = False

    def forget_names(self) -> None:
        """Prepare no more statements by name (see `Connector`)."""
        self._connector.forget_names()
        self._drop_idle()

    async def aclose(self) -> None:
        """Close what is idle; what is in use is closed as it comes back. Never raises."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            self._part(connection)
        if self._partings:
            await asyncio.wait(self._partings)

    async def _take(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_closed():
                continue
            if now >= connection.retire_at:
                self._part(connection)
            elif now - connection.used_at < QUIET or await self._answers(connection):
                return connection
        return None

    async def _answers(self, connection: Connection) -> bool:
        """Whether *connection* still leads somewhere."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await connection.execute("SELECT 1")
        except Exception:
            connection.terminate()
            # They were quiet for longer, on the same way.
            self._drop_idle()
            return False
        except BaseException:
            connection.terminate()
            raise
        return True

    def _put(self, connection: Connection) -> None:
        now = connection.used_at = asyncio.get_running_loop().time()
        if self._closed:
            connection.terminate()
        elif now >= connection.retire_at:
            self._part(connection)
        else:
            self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.is_closed():
            # Where one was cut off, the others were too, or lead to a server that was replaced.
            self._drop_idle()
        for each in self._idle:
            # Whatever happened to it may have happened to them.
            each.used_at = -math.inf
        connection.terminate()

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for each in idle:
            each.terminate()

    def _part(self, connection: Connection) -> None:
        """Say goodbye, and let nobody wait for it."""
        parting = asyncio.ensure_future(_close(connection))
        self._partings.add(parting)
        parting.add_done_callback(self._partings.discard)

    async def _connect(self) -> Connection:
        connection = await self._connector.connect()
        self._made += 1
        # Spread evenly, without chance.
        age = AGE_MAX * (1 - _SPREAD * (self._made * _GOLDEN % 1))
        connection.retire_at = connection.used_at + age
        return connection


async def _close(connection: Connection) -> None:
    # A server that is away or hangs does not hear it, and need not.
    with suppress(Exception):
        await connection.close(timeout=FAREWELL_TIMEOUT)
    connection.terminate()
