"""The cost of a spectator: the same load with and without one, in turns."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from bench.http_scenarios import request
from bench.inbox_scenarios import Caller
from bench.measuring import Row, notification
from bench.server import Server, token
from bench.swarm import Swarm

_RATE: Final = 1000
"""Pushes a second."""
_TICKS: Final = 10
"""Batches a second, each item of which is pushed to another user's device."""
_SECONDS: Final = 6
"""Seconds of load in one half of a pair: some thousand pushes, and both halves see one machine."""
_TURNS: Final = 5
"""Times of *_SECONDS* with a spectator, and as many without."""
_SETTLES: Final = 3.0
"""Seconds after which a node whose spectator has left takes no sightings any more."""


@asynccontextmanager
async def spectator(server: Server) -> AsyncIterator[None]:
    """One stream of `/v1/admin/events`, which is read; it has begun to tell."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
    writer.write(request("GET", "/v1/admin/events", token("root", "admin")))
    await asyncio.wait_for(reader.readuntil(b"event: second\n"), 30)

    async def read() -> None:
        while await reader.read(1 << 16):
            pass

    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        reading.cancel()
        writer.close()
        await asyncio.sleep(_SETTLES)


async def spectating(server: Server) -> list[Row]:
    """1 000 pushes a second, each acknowledged, with a spectator and without."""
    swarm, pushes = Swarm(server), 0
    names = [f"u{number}" for number in range(_RATE // _TICKS)]
    await swarm.connect([(name, "phone") for name in names])
    caller = await Caller("producer", "notify").connect(server)
    items = [notification([name]) for name in names]

    async def share() -> float:
        """Share of a core that the node uses."""
        nonlocal pushes
        cpu, started = server.cpu_seconds, time.perf_counter()
        for tick in range(_SECONDS * _TICKS):
            due = started + tick / _TICKS
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await caller.call("POST", "/v1/notifications/batch", items)
            pushes += len(items)
        await swarm.wait_pushes(pushes)
        server.wait_settled()
        return (server.cpu_seconds - cpu) / _SECONDS

    shares: dict[bool, list[float]] = {False: [], True: []}
    await share()  # warm
    for turn in range(2 * _TURNS):
        looks_on = turn % 2 == 1
        async with spectator(server) if looks_on else nullcontext():
            shares[looks_on].append(await share())
    await swarm.close()
    caller.close()
    alone, watched = statistics.median(shares[False]), statistics.median(shares[True])
    return [
        Row("1 000 pushes/s", alone * 100, "% of a core"),
        Row("1 000 pushes/s, what a spectator adds", (watched - alone) * 100, "% of a core", 1),
    ]
