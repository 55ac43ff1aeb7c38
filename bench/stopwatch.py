"""The delay publish → push of single notifications, while other things happen on the nodes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final

from bench.producing import Producer
from bench.server import Server
from bench.swarm import Peer, Swarm

_OUTSTANDING_MAX: Final = 1000
"""Notifications published and not yet pushed. A node refuses a producer that has more under way,
and a refused notification cannot be timed."""


class Stopwatch:
    """Times publish → push from the node *here* to *count* users with a device each on *there*."""

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
        """Publish *rate* times a second until *until* is true.

        Raises `RuntimeError` if more than `_OUTSTANDING_MAX` notifications wait for their push.
        """
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
        """Wait for all pushes and disconnect; the 99th percentile of the delays in milliseconds."""
        await self._swarm.wait_pushes(self._count)
        await self._swarm.close()
        await self._producer.close()
        return statistics.quantiles(self._taken, n=100)[98] * 1000

    def _on_frame(self, peer: Peer, payload: bytes) -> None:
        if payload.startswith(b'{"type":"push"'):
            self._taken.append(time.perf_counter() - self._sent[self._whose[peer]].pop(0))


def after(seconds: float) -> Callable[[], bool]:
    """A function that is false for *seconds* from now, and true afterwards."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end
