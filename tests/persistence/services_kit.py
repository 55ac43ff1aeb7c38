"""The service that joins nodes, of each kind, and the ways of nodes to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from servers.redis import Redis
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.bus import (
    Bus,
    BusUnavailable,
    Claim,
    Gap,
    Heard,
    Presence,
    Said,
    Spool,
    SpoolDraft,
)
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.redis.bus import RedisBus
from tocsin.persistence.redis.client import RedisClient
from tocsin.persistence.redis.presence import RedisPresence
from tocsin.persistence.redis.spool import RedisSpool
from tocsin.protocol.cluster.seals import Purpose, Seals

WAIT = 10
"""Seconds after which a test gives up on what should come at once."""
CHANNELS = [f"u:{number}" for number in range(20)]


class Service(Protocol):
    """A service of either kind, for a test that does not care which."""

    def running(self) -> AbstractAsyncContextManager[None]: ...
    def bus(self, node: str) -> Bus: ...
    def presence(self, node: str) -> Presence: ...
    def spool(self, node: str) -> Spool: ...


class MemoryService:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.bus = self.broker.bus
        self.presence = self.broker.presence
        self.spool = self.broker.spool

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield


class RedisService:
    """The Redis at *url*; each node has a client of its own, as in a cluster."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self.url = url
        self.timeout = timeout
        self.clients: dict[str, RedisClient] = {}
        self.now_ms = lambda: time.time_ns() // 1_000_000

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with open_asyncio_loop():
            yield
            for client in self.clients.values():
                await client.aclose()

    def client(self, node: str) -> RedisClient:
        if node not in self.clients:
            self.clients[node] = RedisClient(self.url, timeout=self.timeout)
        return self.clients[node]

    def bus(self, node: str) -> RedisBus:
        return RedisBus(self.client(node))

    def presence(self, node: str) -> RedisPresence:
        return RedisPresence(self.client(node), self.seals(node)[Purpose.PRESENCE])

    def spool(self, node: str) -> RedisSpool:
        return RedisSpool(self.client(node), self.seals(node), self.now_ms)

    def seals(self, node: str, secret: str = "the nodes' secret") -> Seals:
        seals = Seals(self.client(node).place)
        seals.learn(secret)
        return seals


@asynccontextmanager
async def opened(bus: Bus) -> AsyncIterator[Bus]:
    await bus.open()
    try:
        yield bus
    finally:
        await bus.aclose()


@asynccontextmanager
async def joined(server: Redis, *, timeout: float = 2.0) -> AsyncIterator[tuple[Bus, Bus]]:
    """Two nodes; the second hears `CHANNELS`."""
    service = RedisService(server.url, timeout=timeout)
    async with (
        service.running(),
        opened(service.bus("node-a")) as ann,
        opened(service.bus("node-b")) as ben,
    ):
        await ben.subscribe(CHANNELS)
        yield ann, ben


def said(channel: str, *payloads: bytes) -> list[Said]:
    return [Said(channel, each) for each in payloads]


async def hear(bus: Bus, count: int) -> list[Heard]:
    """The next *count* things that *bus* hears."""
    heard: list[Heard] = []
    with trio.fail_after(WAIT):
        while len(heard) < count:
            heard += await bus.receive()
    return heard


async def hear_until(bus: Bus, is_it: Callable[[Heard], bool]) -> list[Heard]:
    heard: list[Heard] = []
    with trio.fail_after(WAIT):
        while not any(map(is_it, heard)):
            heard += await bus.receive()
    return heard


async def gap(bus: Bus) -> Sequence[str]:
    """Wait for a gap; the channels that it names."""
    heard = await hear_until(bus, lambda each: isinstance(each, Gap))
    return sorted({c for each in heard if isinstance(each, Gap) for c in each.channels})


async def append(spool: Spool, payload: bytes, claim: Claim | None = None) -> Claim | None:
    """Append one entry; the earlier claim on its key."""
    [earlier] = (await spool.append([SpoolDraft(payload, claim)])).earlier
    return earlier


async def becomes_possible(act: Callable[[], Awaitable[object]]) -> None:
    """Repeat *act* until the bus is there."""
    with trio.fail_after(WAIT):
        while True:
            try:
                await act()
            except BusUnavailable:
                await trio.sleep(0.02)  # waits for: the server, which says nothing when it is back
            else:
                return
