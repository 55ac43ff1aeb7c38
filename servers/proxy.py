"""A piece of network between one node and one service, which can be cut, stalled and slowed.

It runs in a thread of its own. A verb such as `cut` has taken effect when its call returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from servers.machine import free_port

T = TypeVar("T")


class Proxy:
    """Passes connections at `url` on to the server of the URL *to*. A context manager."""

    def __init__(self, to: str) -> None:
        parts = urlsplit(to)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._to = parts.hostname, parts.port
        self.port = free_port()
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@127.0.0.1:{self.port}" if login else f"127.0.0.1:{self.port}"
        self.url = urlunsplit(parts._replace(netloc=netloc))
        # Made by its class: `asyncio.new_event_loop` gives a loop of trio-asyncio's own kind once
        # that was used in this process.
        self._loop = asyncio.SelectorEventLoop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._open = asyncio.Event()
        self._is_cut = False
        self._delay = 0.0
        self._age = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # --- Faults ----------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break all connections off, and every new one until `heal`."""

        def work() -> None:
            self._is_cut = True
            for writer in self._writers:
                writer.transport.abort()

        self._do(work)

    def stall(self) -> None:
        """Keep connections and take new ones, but let no bytes through until `heal`: they wait."""
        self._do(self._open.clear)

    def forget(self) -> None:
        """Swallow all bytes on the connections that are open, and tell neither side; new
        connections work. A NAT does so to a connection that was silent for long.
        """

        def work() -> None:
            self._age += 1

        self._do(work)

    def slow(self, seconds: float) -> None:
        """Hold all bytes back for *seconds*, in each direction, until `heal`."""

        def work() -> None:
            self._delay = seconds

        self._do(work)

    def heal(self) -> None:
        """End all faults but `forget`; bytes that waited go through."""

        def work() -> None:
            self._is_cut, self._delay = False, 0.0
            self._open.set()

        self._do(work)

    # --- How it is done --------------------------------------------------------------------------

    def _do(self, work: Callable[[], None]) -> None:
        async def in_loop() -> None:
            work()

        asyncio.run_coroutine_threadsafe(in_loop(), self._loop).result(10)

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        from_server, to_server = await asyncio.open_connection(self._host, self._to)
        age = self._age
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, to_server, age)),
                asyncio.create_task(self._pump(from_server, writer, age)),
            ]
            try:
                # When one side ends, both are ended: neither Postgres nor Redis half-closes.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            to_server.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, age: int
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self._delay)  # waits for: the slowness that was asked for
                await self._open.wait()
                if age != self._age:
                    continue
                writer.write(data)
                await writer.drain()
