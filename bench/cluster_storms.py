"""Thousands of devices come back at once; the delay that this causes for devices that never left.

The devices that stay ("the others" in the table) belong to a hundred users on a node that keeps
running; 200 notifications a second are posted and pushed there. Meanwhile a probe asks that node
for `/livez` on a new connection each time, as a load balancer does.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Final

from bench.measuring import Cost, Row
from bench.nodes import Nodes
from bench.returning import Returned, crowd
from bench.server import Server
from bench.stopwatch import Stopwatch, after
from servers.haproxy import HAProxy
from servers.machine import free_port

_OTHERS, _RATE = 100, 200  # users who stay, and notifications a second for them
_QUIET: Final = 5.0
"""Seconds of measuring before the storm; the delays during the storm are compared with these."""
_LOOK_EVERY: Final = 0.2
"""Seconds between two probes of `/livez`."""


async def reconnect(nodes: Nodes) -> list[Row]:
    """5 000 devices come back on the second node after their own node was killed."""
    here, dying = nodes
    count = 5000
    async with crowd(count, dying.port, here.port) as absent:
        quiet = await quiet_p99(here)
        others = await Stopwatch(here, here, "meanwhile", _OTHERS).open()
        cost = Cost(here)
        async with looking_at(here) as looks:
            dying.kill()
            returning = asyncio.ensure_future(absent.wait_returned())
            await others.run(_RATE, returning.done)
        returned, cpu = await returning, cost.per(count)[0]
        storm = await others.p99()
    seconds = returned.last_back - returned.first_lost
    name = "5 000 devices of a dead node"
    return [
        Row(f"{name}, until all have caught up", seconds, "s"),
        Row(f"{name}, node that takes them, for each, the others' load included", cpu, "µs CPU"),
        *others_rows(quiet, storm),
        Row("slowest answer to a look at /livez meanwhile", max(looks) * 1000, "ms"),
    ]


async def drain(nodes: Nodes) -> list[Row]:
    """A node with 2 000 devices is stopped; they come back through HAProxy on the two others."""
    leaving, here, _ = nodes
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    with closing(HAProxy(addresses, free_port()).start()) as balancer:
        async with crowd(2000, leaving.port, balancer.port) as absent:
            quiet = await quiet_p99(here)
            others = await Stopwatch(here, here, "meanwhile", _OTHERS).open()
            started = time.monotonic()
            leaving.stop()
            returning = asyncio.ensure_future(absent.wait_returned())
            await others.run(_RATE, returning.done)
            returned = await returning
            assert not leaving.is_running, "it should have ended before the last was sent away"
            storm = await others.p99()
    return [*drain_rows(returned, started), *others_rows(quiet, storm)]


def drain_rows(returned: Returned, started: float) -> list[Row]:
    name = "drain of a node with 2 000 devices"
    return [
        Row(f"{name}, first goodbye", returned.first_lost - started, "s"),
        Row(f"{name}, last goodbye", returned.last_lost - started, "s"),
        Row(f"{name}, all live elsewhere", returned.last_back - started, "s"),
        Row(f"{name}, most that came back in one second", returned.back_in_one_second_max, ""),
        Row(f"{name}, attempts that failed", returned.attempts_failed, ""),
    ]


def others_rows(quiet: float, storm: float) -> list[Row]:
    """The delay of pushes to devices that stayed: 99th percentiles in milliseconds."""
    return [
        Row("publish → push to others before, p99", quiet, "ms"),
        Row("publish → push to others meanwhile, p99", storm, "ms", 5 * quiet),
        Row("publish → push to others, meanwhile compared with before", storm / quiet, "times", 5),
    ]


async def quiet_p99(here: Server) -> float:
    stopwatch = await Stopwatch(here, here, "before", _OTHERS).open()
    await stopwatch.run(_RATE, after(_QUIET))
    return await stopwatch.p99()


@asynccontextmanager
async def looking_at(node: Server) -> AsyncIterator[list[float]]:
    """Probe `/livez` during the block, on a new connection each time; the seconds of each probe."""
    looks: list[float] = []

    def look() -> None:
        started = time.monotonic()
        with urllib.request.urlopen(node.url + "/livez", timeout=60):
            looks.append(time.monotonic() - started)

    async def look_on() -> None:
        while True:
            await asyncio.to_thread(look)
            await asyncio.sleep(_LOOK_EVERY)

    looking = asyncio.ensure_future(look_on())
    try:
        yield looks
    finally:
        looking.cancel()
