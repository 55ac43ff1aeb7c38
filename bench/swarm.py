"""Thousands of WebSocket clients in one process, as light as they can be made.

A client speaks just enough of RFC 6455 to be a fair peer: real sockets, real masking bits (with a
mask of zeros, which is legal and free), real acknowledgments. The CPU that the clients do not use
is left to the server, which is the one that is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from bench.server import token
from tocsin.load.wire import PING, PONG, TEXT, take_frames, text_frame

_PUSH = b'{"type":"push"'
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_CONNECTING_MAX = 200


class Address(Protocol):
    """A server of this machine that clients can connect to."""

    @property
    def port(self) -> int: ...


class Peer(asyncio.Protocol):
    """One client. The future `synced` is done when it has caught up (for a producer: when it has
    been welcomed), `lost` when its connection has ended.
    """

    def __init__(self, host: str, headers: str, first: bytes, swarm: Swarm) -> None:
        self._host = host
        self._headers = headers
        self._first = first
        self._swarm = swarm
        self._buffer = bytearray()
        self._upgraded = False
        self.transport: asyncio.Transport | None = None
        self.synced = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pushes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{self._headers}\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self._buffer.startswith(b"HTTP/1.1 101"), bytes(self._buffer[:200])
            del self._buffer[: end + 4]
            self._upgraded = True
            self.send(self._first)
        for opcode, payload in take_frames(self._buffer):
            if opcode == TEXT:
                self._received(payload)
            elif opcode == PING:
                assert self.transport is not None
                self.transport.write(PONG)

    def send(self, payload: bytes) -> None:
        assert self.transport is not None
        self.transport.write(text_frame(payload))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.synced.done():
            self.synced.set_exception(ConnectionError("closed before it was synced"))

    def _received(self, payload: bytes) -> None:
        if payload.startswith(_PUSH):
            self.pushes += 1
            self._swarm.pushed()
            if self._swarm.acks:
                match = _SEQUENCE.search(payload)
                assert match is not None
                self.send(b'{"type":"ack","sequence":%b}' % match[1])
        elif not self.synced.done():
            kind = json.loads(payload)["type"]
            if kind == "synced" or (kind == "welcome" and self._swarm.producers):
                self.synced.set_result(None)
        if self._swarm.on_frame is not None:
            self._swarm.on_frame(self, payload)


class Swarm:
    """Clients that connect together and are waited for together.

    `on_frame` is called with each text frame's client and payload.
    """

    def __init__(self, server: Address, *, acks: bool = True, producers: bool = False) -> None:
        self._server = server
        self.acks = acks
        self.producers = producers
        self.peers: list[Peer] = []
        self.on_frame: Callable[[Peer, bytes], None] | None = None
        self._pushes = 0
        self._wanted = 0
        self._reached: asyncio.Future[None] | None = None

    async def connect(self, devices: list[tuple[str, str]], **hello: Any) -> None:
        """Connect each (user, device); wait until all have caught up. Raises as `connect_one`."""
        gate = asyncio.Semaphore(_CONNECTING_MAX)

        async def connect(user: str, device: str) -> Peer:
            async with gate:
                return await self.connect_one(user, device, **hello)

        self.peers += await asyncio.gather(*(connect(user, device) for user, device in devices))

    async def connect_one(self, user: str, device: str, **hello: Any) -> Peer:
        """Connect one client and wait until it has caught up. The caller has to close it: `close`
        closes only the clients of `connect`.

        Raises `OSError` if it cannot connect, `TimeoutError` after a minute.
        """
        scope = "notify" if self.producers else ""
        headers = f"Authorization: Bearer {token(user, scope)}\r\n"
        first = json.dumps({"type": "hello", "device": device, **hello}).encode()
        port = self._server.port
        _, peer = await asyncio.get_running_loop().create_connection(
            lambda: Peer(f"127.0.0.1:{port}", headers, first, self), "127.0.0.1", port
        )
        await asyncio.wait_for(peer.synced, 60)
        return peer

    def pushed(self) -> None:
        self._pushes += 1
        if self._pushes == self._wanted and self._reached is not None:
            self._reached.set_result(None)

    async def wait_pushes(self, count: int, timeout: float = 60.0) -> None:
        """Wait until *count* pushes have come in total, since the swarm was made.

        Raises `TimeoutError` after *timeout* seconds.
        """
        if self._pushes < count:
            self._wanted = count
            self._reached = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._reached, timeout)
            except TimeoutError:
                raise TimeoutError(f"{self._pushes} pushes of {count} came") from None
            finally:
                self._reached = None

    @property
    def pushes(self) -> int:
        return self._pushes

    async def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()
        await asyncio.sleep(0)
