"""A stream of frames over a real loopback socket, its raw client, and clients that flood it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing

from tests.server.edge_kit import masked
from tocsin.server.turnstile import Turnstile
from tocsin.server.websocket.frame_stream import FrameStream

LIMIT = 100_000


@dataclass
class Pair:
    client: trio.SocketStream
    server: trio.SocketStream
    frames: FrameStream
    nursery: trio.Nursery

    def fill(self) -> bytes:
        """Offer until something waits; returns all that was offered."""
        offered = b""
        while not self.frames.statistics().pending_bytes:
            data = bytes((len(offered) % 251,)) * 20_000
            self.frames.offer(data)
            offered += data
        return offered

    async def read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            data = await self.client.receive_some(min(65536, count - len(read)))
            if not data:
                break
            read += data
        return read


@asynccontextmanager
async def open_pair(**arguments: Any) -> AsyncIterator[Pair]:
    with trio.fail_after(10):
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        # A small window, set before connecting, so that a test need not fill megabytes.
        raw = trio.socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await raw.connect(listener.socket.getsockname())
        client = trio.SocketStream(raw)
        server = await listener.accept()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        async with listener, client, trio.open_nursery() as nursery:
            arguments.setdefault("nursery", nursery)
            arguments.setdefault("crowd", Turnstile(1))
            frames = FrameStream(server, **{"outbound_bytes_max": LIMIT} | arguments)
            yield Pair(client, server, frames, nursery)
            with trio.CancelScope() as scope:
                scope.cancel()
                await frames.aclose()
            nursery.cancel_scope.cancel()


async def cancel_when_blocked(scope):
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


JSON_PING = masked(1, b"ping")


@asynccontextmanager
async def listening(frames: FrameStream, received: list[str]) -> AsyncIterator[None]:
    """Messages are noted in *received* meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames.listen, received.append)
        yield
        nursery.cancel_scope.cancel()


async def send_for_ever(client, data):
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await client.send_all(data)
