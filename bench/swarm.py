"""Thousands of WebSocket clients in one process: those of `tocsin load`, without its books.

The CPU that the clients do not use is left to the server, which is the one that is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from bench.server import token
from tocsin.load.device import PUSH, SEQUENCE
from tocsin.load.socket_client import SocketClient

_CONNECTING_MAX = 200  # clients that connect at a time


class Address(Protocol):
    """A server of this machine that clients can connect to."""

    @property
    def port(self) -> int: ...


class Peer(SocketClient):
    """One client. The future `synced` is done when it has caught up (for a producer: when it has
    been welcomed), `lost` when its connection has ended.
    """

    def __init__(self, authority: str, credential: str, hello: bytes, swarm: Swarm) -> None:
        super().__init__(authority)
        self._credential = credential
        self._hello = hello
        self._swarm = swarm
        self.synced = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pushes = 0

    def credential(self) -> str:
        return self._credential

    def opened(self) -> None:
        self.send(self._hello)

    def refused(self, head: bytes) -> None:
        raise AssertionError(head)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.lost.set_result(None)
        if not self.synced.done():
            self.synced.set_exception(ConnectionError("closed before it was synced"))

    def received(self, payload: bytes) -> None:
        if payload.startswith(PUSH):
            self.pushes += 1
            self._swarm.pushed()
            if self._swarm.acks:
                match = SEQUENCE.search(payload)
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
        credential = token(user, scope)
        first = json.dumps({"type": "hello", "device": device, **hello}).encode()
        port = self._server.port
        _, peer = await asyncio.get_running_loop().create_connection(
            lambda: Peer(f"127.0.0.1:{port}", credential, first, self), "127.0.0.1", port
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
            peer.abort()
        self.peers.clear()
        await asyncio.sleep(0)
