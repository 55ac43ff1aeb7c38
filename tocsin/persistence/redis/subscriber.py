"""The connection on which a node hears: one asyncio task reads from it, another one writes.

Subscriptions are wishes that outlive connections. Each new connection subscribes to all wanted
channels, and when the server has confirmed the last one, all of them are reported as a `Gap`,
because envelopes may have been published meanwhile. Redis-py's `PubSub` does the first and not the
second, and is therefore not used here.

A silent connection may be idle or dead; TCP does not tell which. So the node pings the server
regularly, and ends a connection that stays silent.
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
from tocsin.persistence.bus.heard_queue import HeardQueue
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
"""Seconds before the first attempt after a loss; it doubles up to `RECONNECT_DELAY_MAX`."""
RECONNECT_DELAY_MAX = 1.0
"""Seconds between attempts, at most: nodes are few, so frequent attempts cost the server little."""
PINGS_PER_TIMEOUT = 4
"""Pings sent while the connection may be silent: three of them may be late."""
READ_BYTES = 1 << 16
"""Bytes that are read before other tasks have their turn: some 150 envelopes."""
CHANNELS_MAX = 1000
"""Channels in one command: more would keep Redis busy, and other clients waiting."""


class RedisSubscriber:
    """Hears on the wanted channels while it is open; the methods are those of `Bus`."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._prefix = client.place.encode()
        self._heard = HeardQueue()
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
        """Wait for the first attempt to connect; further attempts go on by themselves.

        Raises `BusUnavailable` if the attempt failed.
        """
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
            # The server may still confirm it on this connection, and then no reconnection reports a
            # gap: so the confirmation has to.
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
        """The server's name of the channel *name*."""
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
        """Make a connection and hear on it until it ends, which always raises."""
        connection = self._client.make_connection()
        speaker = None
        try:
            async with asyncio.timeout(self._client.timeout):
                await connection.connect()
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
            # Checked, because redis-py would make a new connection to write on by itself.
            while connection.is_connected:
                commands = list(self._unsent) or [(b"PING",)]
                self._unsent.clear()
                await connection.send_packed_command(connection.pack_commands(commands))
                self._wake.clear()
                if not self._unsent:
                    await self._wait_to_speak()
        except (RedisError, OSError):
            # The reading task sees the end of the connection, and handles it.
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
                # Reset here and not after connecting: a server may accept connections and refuse
                # every command.
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
