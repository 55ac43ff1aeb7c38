"""A few connections to Postgres, for coroutines that each use one for one call.

asyncpg's own pool does not serve: it spends a round trip on resetting every returned connection,
waits on release for a server that may hang, and cannot be made while the server is away. Here a
connection that is returned after anything but success is cut off without a message to the server,
because its state is unknown; the next call makes another.

A network may have forgotten a connection that was silent for a while, and swallow its bytes: a call
on it would wait until its time limit. So a connection that was quiet has to answer a short question
before it is used. If it does not answer, those that were quiet for longer are dropped unasked.

Most calls are driven by a task of Trio (`take_at_once`); the others, and those for which a
connection has to be made or looked at first, run inside the trio-asyncio loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from tocsin.persistence.postgres.connecting import Connection, Connector
from tocsin.persistence.postgres.driving import hand_back, is_silent, take_over

FAREWELL_TIMEOUT = 1.0
"""Seconds in which a connection is closed in order; then it is cut off."""
QUIET: Final = 5.0
"""Seconds of silence after which a connection is asked first; a writing node uses one sooner."""
LOOK_TIMEOUT: Final = 1.0
"""Seconds in which a quiet connection has to answer; otherwise another one is made."""
AGE_MAX: Final = 1800.0
"""Seconds of use after which a connection is replaced, because the server behind a name may change
and a server's process may grow."""
_SPREAD: Final = 0.25
"""The part of `AGE_MAX` by which ages differ, so that not all connections are replaced at once."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


class Pool:
    """At most *size* connections made by *connector*, each when it is needed."""

    def __init__(self, connector: Connector, *, size: int) -> None:
        self._connector = connector
        self._room = asyncio.Semaphore(size)
        # A stack: the connection used last is taken first, so that one stays fresh in quiet times.
        self._idle: list[Connection] = []
        self._partings: set[asyncio.Task[None]] = set()
        self._made = 0
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one call. Waits until one is free, without a deadline: that is the
        caller's. Raises as `Connector.connect`.
        """
        async with self._room:
            connection = await self._take() or await self._connect()
            try:
                yield connection
            except BaseException:
                self._drop(connection)
                raise
            self._put(connection)

    def take_at_once(self) -> Connection | None:
        """An idle connection that a task of Trio can drive, or `None`; it is to be returned by
        `give_back` or `drop`.

        It is not one that has to be looked at before it is used.
        """
        now = trio.current_time()
        if self._room.locked() or not self._idle or not self._is_fresh(self._idle[-1], now):
            return None
        connection = self._idle.pop()
        if not is_silent(connection):
            self._drop_ended(connection)
            return None
        with suppress(StopIteration):
            # There is room, so the coroutine ends without waiting.
            self._room.acquire().send(None)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return *connection* of `take_at_once` after a success."""
        self._put(connection)
        self._room.release()

    def drop(self, connection: Connection) -> None:
        """Cut off *connection* of `take_at_once`, whose state is not known."""
        self._drop(connection)
        self._room.release()

    def reopen(self) -> None:
        self._closed = False

    def forget_names(self) -> None:
        """Prepare statements without names from now on (see `Connector`)."""
        self._connector.forget_names()
        self._drop_idle()

    async def aclose(self) -> None:
        """Close idle connections; those in use are closed when they are returned. Never raises."""
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
            if connection.is_taken_over and not is_silent(connection):
                self._drop_ended(connection)
                continue
            hand_back(connection)
            if now >= connection.retire_at:
                self._part(connection)
            elif now - connection.used_at < QUIET or await self._answers(connection):
                return connection
        return None

    async def _answers(self, connection: Connection) -> bool:
        """Whether *connection* still reaches the server, which it has to prove within a second."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await connection.execute("SELECT 1")
        except Exception:
            connection.terminate()
            # The idle ones were quiet for longer, on the same network.
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
            take_over(connection)
            self._idle.append(connection)

    def _is_fresh(self, connection: Connection, now: float) -> bool:
        if connection.is_closed() or not connection.is_taken_over:
            return False
        return now < connection.retire_at and now - connection.used_at < QUIET

    def _drop_ended(self, connection: Connection) -> None:
        """Cut off the idle *connection*, which the server has ended, and so the others too."""
        connection.terminate()
        self._drop_idle()

    def _drop(self, connection: Connection) -> None:
        if connection.is_closed():
            # The server ended it, so it has ended the others too, or it was replaced.
            self._drop_idle()
        for each in self._idle:
            # Counts as quiet, so that it is asked first: the same fault may have hit it.
            each.used_at = -math.inf
        connection.terminate()

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for each in idle:
            each.terminate()

    def _part(self, connection: Connection) -> None:
        """Close *connection* in a task of its own, so that no call waits for it."""
        hand_back(connection)
        parting = asyncio.ensure_future(_close(connection))
        self._partings.add(parting)
        parting.add_done_callback(self._partings.discard)

    async def _connect(self) -> Connection:
        connection = await self._connector.connect()
        self._made += 1
        # The golden ratio spreads ages evenly without chance.
        age = AGE_MAX * (1 - _SPREAD * (self._made * _GOLDEN % 1))
        connection.retire_at = connection.used_at + age
        return connection


async def _close(connection: Connection) -> None:
    # A server that is away or hangs does not hear the goodbye, and need not.
    with suppress(Exception):
        await connection.close(timeout=FAREWELL_TIMEOUT)
    connection.terminate()
