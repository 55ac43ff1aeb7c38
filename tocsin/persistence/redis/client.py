"""One connection to Redis that everything but listening goes through.

Crossing from Trio to asyncio is what is dear here, and crossings do not run side by side. So
nothing crosses: a call is left in a queue, and one asyncio task takes all that wait, writes their
commands in one go, reads the replies and wakes the callers. The more is asked at once, the less
each costs.

A connection of which we do not know what it is in the middle of is never used again. What fails
with the connection fails for everybody who waits at that moment: they would only wait for the same
server in turn.

Redis-py's `Connection` is used without the client around it: that one retries and reconnects by
itself, and neither may happen unnoticed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import trio
import trio_asyncio
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from tocsin.persistence.bus import BusRefusals, BusUnavailable
from tocsin.protocol.seals import KeyUnknown

Command = Sequence[str | bytes | int]
Reply = Any

BATCH_CALLS_MAX = 256
"""Calls whose commands are written in one go."""
CLOSING = "the connection to Redis is being closed"

CLEAR = """\
local cleared = 0
for i, key in ipairs(KEYS) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= ARGV[i] then
        cleared = cleared + redis.call('UNLINK', key)
    end
end
return cleared
"""


class WrongKind(BusUnavailable):
    """A key holds another kind of value than ours: somebody else has put it there."""


def _tls(url: str) -> dict[str, Any]:
    """What an authority of one's own needs not have, on any Python.

    From 3.13 on Python's contexts ask for extensions that `openssl req -x509` leaves out.
    """
    if not url.startswith("rediss:"):
        return {}
    return {"ssl_exclude_verify_flags": [ssl.VerifyFlags.VERIFY_X509_STRICT]}


class RedisClient:
    """The Redis at *url* (`redis://`, or `rediss://` for TLS); `trio_asyncio.open_loop()` must be
    open around it. Nothing connects before it is needed.

    Keys and channels begin with *prefix*. A call that has no answer *timeout* seconds after its
    turn came raises `BusUnavailable`; it may have been done all the same.
    """

    def __init__(self, url: str, *, prefix: str = "tocsin:", timeout: float = 2.0) -> None:
        self._factory = ConnectionPool.from_url(
            url,
            protocol=2,
            # One deadline is ours, around all that an attempt does; theirs are one per read.
            socket_timeout=None,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            **_tls(url),
        )
        self.prefix = prefix
        self.timeout = timeout
        database = int(self._factory.connection_kwargs.get("db") or 0)
        # Databases divide keys and not channels: without the number, two clusters in two databases
        # of one server would hear each other.
        self.place = f"{prefix}{database}:"
        self.refusals = BusRefusals()
        self._waiting: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    def make_connection(self) -> AbstractConnection:
        connection: AbstractConnection = self._factory.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def call(self, *commands: Command) -> list[Reply]:
        """The replies to *commands*, sent in order and together. Cancelling abandons the answer."""
        call = _Call(commands)
        self._waiting.append(call)
        self._ensure_running()
        self._wake.set()
        await call.answered.wait()
        if call.error is not None:
            raise WrongKind(call.error) if call.is_wrong_kind else BusUnavailable(call.error)
        return call.replies

    async def call_on(self, kinds: Mapping[str, str], *commands: Command) -> list[Reply]:
        """As `call`. The keys are to be of *kinds* (as `TYPE` says them); what is not is removed.

        *commands* may be done in part and then once more.
        """
        try:
            return await self.call(*commands)
        except WrongKind:
            [cleared] = await self.call(("EVAL", CLEAR, len(kinds), *kinds, *kinds.values()))
            self.refusals.add("key", "wrong_kind", cleared)
            return await self.call(*commands)

    async def aclose(self) -> None:
        """End the connection; whoever waits is told. A later call connects again. Never raises."""
        task, self._task = self._task, None
        await end_task(task)
        self._fail_waiting(CLOSING)

    # --- In asyncio -----------------------------------------------------------------------------

    def _ensure_running(self) -> None:
        if self._task is None or self._task.done():
            self._task = start_task(self._run)

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._perform(self._next_batch())
        finally:
            self._disconnect()
            self._fail_waiting(CLOSING)

    def _next_batch(self) -> list[_Call]:
        count = min(len(self._waiting), BATCH_CALLS_MAX)
        return [self._waiting.popleft() for _ in range(count)]

    async def _perform(self, batch: Sequence[_Call]) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                connection = await self._connected()
                commands = [command for call in batch for command in call.commands]
                await connection.send_packed_command(connection.pack_commands(commands))
                for call in batch:
                    await self._read_replies(connection, call)
                    call.answered.set()
        except Exception as error:
            self._disconnect()
            self._fail(batch, described(error, self.timeout))
            self._fail_waiting(described(error, self.timeout))
        else:
            if any(call.error and not call.is_wrong_kind for call in batch):
                # Perhaps it is a replica by now, or wants another password: connect anew.
                self._disconnect()
        finally:
            self._fail(batch, CLOSING)

    async def _read_replies(self, connection: AbstractConnection, call: _Call) -> None:
        for _ in call.commands:
            try:
                call.replies.append(await connection.read_response())
            except ResponseError as error:
                # Out of memory, read only, ...: the others' replies are still to be read.
                call.error = described(error, self.timeout)
                call.is_wrong_kind |= "WRONGTYPE" in str(error)

    async def _connected(self) -> AbstractConnection:
        connection = self._connection
        if connection is not None and await is_stale(connection):
            self._disconnect()
            connection = None
        if connection is None:
            # Kept at once, so that it is ended if connecting takes too long.
            connection = self._connection = self.make_connection()
            await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            cut(connection)

    def _fail_waiting(self, reason: str) -> None:
        self._fail(self._waiting, reason)
        self._waiting.clear()

    def _fail(self, calls: Sequence[_Call], reason: str) -> None:
        for call in calls:
            if not call.answered.is_set():
                call.error = reason
                call.answered.set()


class _Call:
    __slots__ = ("answered", "commands", "error", "is_wrong_kind", "replies")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Reply] = []
        self.error: str | None = None
        self.is_wrong_kind = False
        self.answered = trio.Event()


@contextmanager
def key_needed() -> Iterator[None]:
    """Around what seals, and what looks at seals: without the secret nothing can be done here."""
    try:
        yield
    except KeyUnknown as error:
        raise BusUnavailable("the nodes' secret is not known yet") from error


def start_task(main: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Run *main* in the trio-asyncio loop; works from Trio as from asyncio."""
    loop = trio_asyncio.current_loop.get()
    if loop is None:
        raise RuntimeError("trio_asyncio.open_loop() must be open around what uses Redis")
    task: asyncio.Task[None] = loop.create_task(main())
    return task


async def end_task(task: asyncio.Task[None] | None) -> None:
    """From Trio: cancel *task* and wait for its end."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await trio_asyncio.run_aio_future(task)
    await trio.lowlevel.checkpoint()


async def is_stale(connection: AbstractConnection) -> bool:
    """Whether the server has ended *connection*, or said something that nobody asked for."""
    try:
        return not connection.is_connected or await connection.can_read()
    except Exception:
        return True


def cut(connection: AbstractConnection) -> None:
    """End *connection* now: closing it in order would wait for a server that may be hanging to take
    what is still unsent, and that is nothing that anybody waits for.
    """
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()
    connection._close()  # type: ignore[no-untyped-call]


def described(error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"Redis did not answer within {timeout:g} s"
    return f"Redis: {type(error).__name__}: {error}"
