"""Publish → push, one by one: how long it takes while other things happen."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final

from bench.scenarios import Producer
from bench.server import Server
from bench.swarm import Peer, Swarm

_OUTSTANDING_MAX: Final = 1000
"""Of more a node says that its producer has too many on their way, and then nothing is measured."""


class Stopwatch:
    """Publish → push, through *here*, to *count* users with a device each on *there*."""

    def __init__(self, here: Server, there: Server, prefix: str, count: int) -> None:
        self._names = [f"{prefix}{number}" for number in range(count)]
        self._sent: dict[str, list[float]] = {name: [] for name in self._names}
        self._taken: list[float] = []
        self._whose: dict[Peer, str] = {}
        self._count = 0
        self._swarm = Swarm(there)
        self._producer = Producer(here)

    async def open(self) -> Stopwatch:
        await self._swarm.connect([(name, "phone") for name in self._names])
        self._whose = dict(zip(self._swarm.peers, self._names, strict=True))
        self._swarm.on_frame = self._on_frame
        await self._producer.connect()
        return self

    async def run(self, rate: int, until: Callable[[], bool]) -> None:
        """Publish *rate* times a second; raises where too many of them are still on their way."""
        started, number = time.perf_counter(), 0
        while not until():
            if self._count - len(self._taken) > _OUTSTANDING_MAX:
                raise RuntimeError(f"{_OUTSTANDING_MAX} pushes behind: too slow to be measured")
            name = self._names[self._count % len(self._names)]
            self._sent[name].append(time.perf_counter())
            self._producer.send([name])
            self._count, number = self._count + 1, number + 1
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))

    async def p99(self) -> float:
        """The 99th percentile in milliseconds, when all have come; the end of it."""
        await self._swarm.wait_pushes(self._count)
        await self._swarm.close()
        await self._producer.close()
        return statistics.quantiles(self._taken, n=100)[98] * 1000

    def _on_frame(self, peer: Peer, payload: bytes) -> None:
        if payload.startswith(b'{"type":"push"'):
            self._taken.append(time.perf_counter() - self._sent[self._whose[peer]].pop(0))


def after(seconds: float) -> Callable[[], bool]:
    """True from *seconds* from now on."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end
