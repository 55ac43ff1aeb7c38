"""The connection that hears: one asyncio task listens on it, another speaks.

What is subscribed is a wish that outlives connections. Each new connection asks for all that is
wanted, and when the server has confirmed the last of it, everything is reported as a `Gap`: nobody
knows what was said meanwhile. Redis-py's `PubSub` does the first and not the second, which is why
it is not used here.

A connection on which nothing is heard may be idle or dead, and TCP does not tell. So the server is
asked for a pong regularly, and the connection is ended when it stays silent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

import trio
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from tocsin.persistence.bus import BusUnavailable, Gap, Heard, Said
from tocsin.persistence.bus.heard_queue import Hearing
from tocsin.persistence.redis.client import (
    CLOSING,
    Command,
    RedisClient,
    Reply,
    cut,
    described,
    end_task,
    start_task,
)
from tocsin.persistence.redis.resp import ReplyReader
from tocsin.persistence.redis.subscriptions import Subscriptions

RECONNECT_DELAY = 0.05
"""Seconds before the first attempt after a loss; doubles up to the most."""
RECONNECT_DELAY_MAX = 1.0
"""What a server that is back waits for us at most: they are few nodes, so attempts cost nothing."""
PINGS_PER_TIMEOUT = 4
"""Pings sent while the connection may be silent: three of them may be late."""
READ_BYTES = 1 << 16
"""Heard before other tasks have their turn: some 150 messages."""
CHANNELS_MAX = 1000
"""Channels in one command."""


class RedisEars:
    """Hears on the channels that are wanted, for as long as it is open."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._prefix = client.place.encode()
        self._heard = Hearing()
        self._subscriptions = Subscriptions()
        self._unsent: deque[Command] = deque()
        self._wake = asyncio.Event()
        self._connected = False
        self._attempted = trio.Event()
        self._delay = RECONNECT_DELAY
        self._trouble = "the bus is not open"
        self._task: asyncio.Task[None] | None = None

    # --- In Trio --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, or raise; in both cases it goes on trying by itself."""
        if self._task is None or self._task.done():
            self._task = start_task(self._run)
        await trio.lowlevel.checkpoint()
        if not self._connected:
            await self._attempted.wait()
        self._check_connected()

    async def subscribe(self, channels: Iterable[str]) -> None:
        await trio.lowlevel.checkpoint()
        channels = list(channels)
        new = self._subscriptions.want(channels)
        self._check_connected()
        self._ask_for(new)
        answer = _Answer()
        self._subscriptions.when_confirmed(channels, answer.give)
        with trio.move_on_after(self._client.timeout) as waiting:
            await answer.given.wait()
        if waiting.cancelled_caught:
            # It may be confirmed yet, and then without a new connection to report it.
            self._report_when_confirmed(tuple(channels))
            raise BusUnavailable(described(TimeoutError(), self._client.timeout))
        if not answer.good:
            raise BusUnavailable(self._trouble)

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        await trio.lowlevel.checkpoint()
        gone = self._subscriptions.drop(channels)
        if self._connected:
            self._say(b"UNSUBSCRIBE", gone)

    async def receive(self) -> Sequence[Heard]:
        return await self._heard.take()

    async def aclose(self) -> None:
        task, self._task = self._task, None
        await end_task(task)
        self._lose(CLOSING)
        self._subscriptions = Subscriptions()

    def channel(self, name: str) -> bytes:
        """What the channel of that *name* is called at the server."""
        return self._prefix + name.encode()

    def _check_connected(self) -> None:
        if not self._connected:
            raise BusUnavailable(self._trouble)

    def _ask_for(self, names: Sequence[str]) -> None:
        self._subscriptions.asked(names)
        self._say(b"SUBSCRIBE", names)

    def _say(self, verb: bytes, names: Sequence[str]) -> None:
        for start in range(0, len(names), CHANNELS_MAX):
            channels = map(self.channel, names[start : start + CHANNELS_MAX])
            self._unsent.append((verb, *channels))
            self._wake.set()

    # --- In asyncio -----------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._live()
                except Exception as error:
                    self._lose(described(error, self._client.timeout))
                await asyncio.sleep(self._delay)
                self._delay = min(2 * self._delay, RECONNECT_DELAY_MAX)
        finally:
            self._lose(CLOSING)

    async def _live(self) -> None:
        """One connection, from its making to its end, which is always an error."""
        connection = self._client.make_connection()
        speaker = None
        try:
            async with asyncio.timeout(self._client.timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
            self._begin()
            speaker = asyncio.ensure_future(self._speak(connection))
            await self._listen(connection)
        finally:
            if speaker is not None:
                speaker.cancel()
            cut(connection)

    def _begin(self) -> None:
        self._connected = True
        self._unsent.clear()
        wanted = self._subscriptions.wanted
        if wanted:
            self._ask_for(wanted)
            self._report_when_confirmed(wanted)
        self._end_attempt()

    def _report_when_confirmed(self, channels: tuple[str, ...]) -> None:
        def report(good: bool) -> None:
            if good:
                self._heard.put(Gap(channels))

        self._subscriptions.when_confirmed(channels, report)

    def _lose(self, trouble: str) -> None:
        self._connected = False
        self._trouble = trouble
        self._subscriptions.lost()
        self._end_attempt()

    def _end_attempt(self) -> None:
        self._attempted.set()
        self._attempted = trio.Event()

    async def _speak(self, connection: AbstractConnection) -> None:
        try:
            # Where there is no connection, redis-py would make one in passing.
            while connection.is_connected:
                commands = list(self._unsent) or [(b"PING",)]
                self._unsent.clear()
                await connection.send_packed_command(connection.pack_commands(commands))
                self._wake.clear()
                if not self._unsent:
                    await self._wait_to_speak()
        except (RedisError, OSError):
            # The listener sees the end of the connection, and deals with it.
            cut(connection)

    async def _wait_to_speak(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._client.timeout / PINGS_PER_TIMEOUT):
                await self._wake.wait()

    async def _listen(self, connection: AbstractConnection) -> None:
        clock = asyncio.get_running_loop().time
        stream, replies = connection._reader, ReplyReader()
        assert stream is not None
        async with asyncio.timeout(self._client.timeout) as silence:
            while data := await stream.read(READ_BYTES):
                for reply in replies.read(data):
                    self._hear(reply)
                silence.reschedule(clock() + self._client.timeout)
                # Only now: a server may take a connection and refuse whatever is said on it.
                self._delay = RECONNECT_DELAY
                await asyncio.sleep(0)
        raise ConnectionResetError("the server ended the connection")

    def _hear(self, reply: Reply) -> None:
        if not (isinstance(reply, list) and len(reply) == 3):
            return  # a pong
        kind, channel, payload = reply
        if kind == b"subscribe":
            self._subscriptions.confirmed(self._name(channel))
        elif kind == b"message" and payload is None:
            self._client.refusals.add("envelope", "too_large")
        elif kind == b"message" and (name := self._name(channel)) in self._subscriptions:
            self._heard.put(Said(name, payload))

    def _name(self, channel: bytes) -> str:
        return channel[len(self._prefix) :].decode()


class _Answer:
    def __init__(self) -> None:
        self.given = trio.Event()
        self.good = False

    def give(self, good: bool) -> None:
        self.good = good
        self.given.set()
