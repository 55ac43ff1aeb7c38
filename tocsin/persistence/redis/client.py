"""The client: one connection to Redis for all commands of a node; only hearing has its own.

Crossing from Trio to asyncio is the dear part, and crossings do not run in parallel. So calls do
not cross: a call is put into a queue, and one asyncio task takes all that wait, writes their
commands in one go, reads the replies and wakes the callers. The more calls wait at once, the less
each costs.

A connection that failed in the middle of a reply is never used again. Its failure ends all calls
that wait at that moment, because they would only wait for the same server in turn.

Redis-py's `Connection` is used without the client around it, which retries and reconnects by
itself: neither may happen unnoticed.
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
from tocsin.protocol.cluster.seals import KeyUnknown

Command = Sequence[str | bytes | int]
Reply = Any

BATCH_CALLS_MAX = 256
"""Calls whose commands are written in one go, and which fail together."""
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
    """A key holds a value of another kind than ours: another program has written it."""


def _tls(url: str) -> dict[str, Any]:
    """Options that accept the certificates of a private authority on every Python.

    From 3.13 on, Python's contexts ask for extensions that `openssl req -x509` leaves out.
    """
    if not url.startswith("rediss:"):
        return {}
    return {"ssl_exclude_verify_flags": [ssl.VerifyFlags.VERIFY_X509_STRICT]}


class RedisClient:
    """The Redis at *url* (`redis://`, or `rediss://` for TLS). It connects at the first call.

    `trio_asyncio.open_loop()` must be open around it. Keys and channels begin with *prefix*. A call
    without an answer *timeout* seconds after its batch was begun raises `BusUnavailable`; its
    commands may have been done all the same.
    """

    def __init__(self, url: str, *, prefix: str = "tocsin:", timeout: float = 2.0) -> None:
        self._factory = ConnectionPool.from_url(
            url,
            protocol=2,
            # None: redis-py's deadline is for each read, ours is for the whole batch.
            socket_timeout=None,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            **_tls(url),
        )
        self.prefix = prefix
        self.timeout = timeout
        database = int(self._factory.connection_kwargs.get("db") or 0)
        # The databases of a server separate keys, but not channels: without the number, clusters in
        # two databases of one server would hear each other.
        self.place = f"{prefix}{database}:"
        self.refusals = BusRefusals()
        self._waiting: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    def make_connection(self) -> AbstractConnection:
        connection: AbstractConnection = self._factory.make_connection()
        return connection

    async def call(self, *commands: Command) -> list[Reply]:
        """Send *commands* together, in order; their replies. Cancelling abandons the replies only.

        Raises `BusUnavailable`, or its kind `WrongKind` if a key holds another kind of value.
        """
        call = _Call(commands)
        self._waiting.append(call)
        self._ensure_running()
        self._wake.set()
        await call.answered.wait()
        if call.error is not None:
            raise WrongKind(call.error) if call.is_wrong_kind else BusUnavailable(call.error)
        return call.replies

    async def call_on(
        self, kinds: Mapping[str, str], *commands: Command, if_cleared: Sequence[Command] = ()
    ) -> list[Reply]:
        """As `call`, with *kinds* (key → kind, as `TYPE` names it) of the keys that are used.

        If a key is of another kind, it is removed, the commands *if_cleared* are done, and
        *commands* once more; some of them may have been done the first time.
        """
        try:
            return await self.call(*commands)
        except WrongKind:
            clear: Command = ("EVAL", CLEAR, len(kinds), *kinds, *kinds.values())
            cleared, *_ = await self.call(clear, *if_cleared)
            self.refusals.add("key", "wrong_kind", cleared)
            return await self.call(*commands)

    async def aclose(self) -> None:
        """End the connection; waiting calls raise. A later call connects again. Never raises."""
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
                # The server may have become a replica, or want another password: connect anew.
                self._disconnect()
        finally:
            self._fail(batch, CLOSING)

    async def _read_replies(self, connection: AbstractConnection, call: _Call) -> None:
        for _ in call.commands:
            try:
                call.replies.append(await connection.read_response())
            except ResponseError as error:
                # Out of memory, read only …: the replies to other commands have still to be read.
                call.error = described(error, self.timeout)
                call.is_wrong_kind |= "WRONGTYPE" in str(error)

    async def _connected(self) -> AbstractConnection:
        connection = self._connection
        if connection is not None and await is_stale(connection):
            self._disconnect()
            connection = None
        if connection is None:
            # Stored before it is connected, so that it is ended if connecting takes too long.
            connection = self._connection = self.make_connection()
            await connection.connect()
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
    """Raise `BusUnavailable` if the block seals, or checks a seal, before the secret is known."""
    try:
        yield
    except KeyUnknown as error:
        raise BusUnavailable("the nodes' secret is not known yet") from error


def start_task(main: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Run *main* in the trio-asyncio loop; may be called from Trio and from asyncio.

    Raises `RuntimeError` if no loop is open.
    """
    loop = trio_asyncio.current_loop.get()
    if loop is None:
        raise RuntimeError("trio_asyncio.open_loop() must be open around what uses Redis")
    task: asyncio.Task[None] = loop.create_task(main())
    return task


async def end_task(task: asyncio.Task[None] | None) -> None:
    """Cancel *task* and wait for its end; to be called from Trio."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await trio_asyncio.run_aio_future(task)
    await trio.lowlevel.checkpoint()


async def is_stale(connection: AbstractConnection) -> bool:
    """Whether the server has ended *connection*, or sent a reply to no command."""
    try:
        return not connection.is_connected or await connection.can_read()
    except Exception:
        return True


def cut(connection: AbstractConnection) -> None:
    """End *connection* at once. Closing it in order would wait until the server, which may hang,
    has taken the unsent bytes, although no call waits for them any more.
    """
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()
    connection._close()


def described(error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"Redis did not answer within {timeout:g} s"
    return f"Redis: {type(error).__name__}: {error}"
