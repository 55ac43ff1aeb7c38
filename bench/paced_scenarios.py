"""Posts at a given rate, all at once, and in batches: what a producer waits for, and what it costs.

The load of `paced` is open: each post is due at a moment of its own, whether or not the answers to
earlier ones have come, and is timed from that moment. A node that falls behind shows it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable
from typing import Final

from bench.http_scenarios import kept_connection, request
from bench.inbox_scenarios import Caller
from bench.measuring import Cost, Row, notification
from bench.server import Server, token
from bench.swarm import Swarm
from tocsin.load.kept_connection import HttpAnswer, KeptConnection

_RATE: Final = 500  # posts a second of `paced`
_SECONDS: Final = 6  # seconds of `paced`
_CONNECTIONS: Final = 64
"""Connections of `paced`: posts that may wait for their answer at a time."""
_AT_ONCE: Final = 1000  # posts of `at_once`
_ITEMS: Final = 500
"""Items of a batch, each to another connected user."""


async def connections(server: Server, count: int) -> list[KeptConnection]:
    return [await kept_connection(server.port) for _ in range(count)]


async def answered(answer: Awaitable[HttpAnswer]) -> None:
    """Wait for *answer*. Raises `AssertionError` if it is a refusal."""
    assert (found := await answer).status in (200, 201), found


def post(user: str) -> bytes:
    body = json.dumps(notification([user])).encode()
    return request("POST", "/v1/notifications", token("producer", "notify"), body)


async def paced(server: Server) -> list[Row]:
    """500 posts a second to one user, whose connected device acknowledges them."""
    swarm = Swarm(server)
    await swarm.connect([("ada", "phone")])
    asked, taken = post("ada"), list[float]()
    free: asyncio.Queue[KeptConnection] = asyncio.Queue()
    for connection in await connections(server, _CONNECTIONS):
        await answered(connection.begin(asked))
        free.put_nowait(connection)
    server.wait_settled()

    async def at(moment: float) -> None:
        connection = await free.get()
        await answered(connection.begin(asked))
        taken.append(time.perf_counter() - moment)
        free.put_nowait(connection)

    cost, started = Cost(server), time.perf_counter()
    async with asyncio.TaskGroup() as posts:
        for number in range(_RATE * _SECONDS):
            moment = started + number / _RATE
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            posts.create_task(at(moment))
    cpu, everything = cost.per(len(taken))[0], cost.with_database(len(taken))
    await swarm.close()
    quantiles = statistics.quantiles(taken, n=100)
    return [
        Row("POST at 500/s", cpu, "µs CPU"),
        Row("POST at 500/s, with the database", everything, "µs CPU"),
        Row("POST at 500/s, p50", quantiles[49] * 1000, "ms", 3),
        Row("POST at 500/s, p99", quantiles[98] * 1000, "ms", 10),
    ]


async def at_once(server: Server) -> list[Row]:
    """1 000 posts on kept connections, all of which have arrived when the node reads the first.

    The node is stopped while they are sent: one client needs longer to send a thousand than the
    node to answer the first.
    """
    kept = await connections(server, _AT_ONCE)
    for connection in kept:
        await answered(connection.begin(request("GET", "/livez", None)))
    before = server.metric("tocsin_store_transactions_total")
    with server.stopped():
        # A post fits into the kernel's buffer: it is sent when `begin` returns.
        begun = [each.begin(post(f"u{number}")) for number, each in enumerate(kept)]
    await asyncio.gather(*map(answered, begun))
    transactions = server.metric("tocsin_store_transactions_total") - before
    return [Row("transactions for 1 000 posts that arrive at once", transactions, "", 4)]


async def batch(server: Server) -> list[Row]:
    """Twenty batches of 500 items, each to another connected user who acknowledges it."""
    swarm, rounds = Swarm(server), 20
    names = [f"u{number}" for number in range(_ITEMS)]
    await swarm.connect([(name, "phone") for name in names])
    caller = await Caller("producer", "notify").connect(server)
    items = [notification([name]) for name in names]
    server.wait_settled()
    cost = Cost(server)
    for done in range(1, rounds + 1):
        await caller.call("POST", "/v1/notifications/batch", items)
        await swarm.wait_pushes(done * _ITEMS)
    server.wait_settled()
    cpu, everything = cost.per(rounds * _ITEMS)[0], cost.with_database(rounds * _ITEMS)
    await swarm.close()
    caller.close()
    return [
        Row("batch, an item to a connected user", cpu, "µs CPU", 80),
        Row("batch, an item to a connected user, with the database", everything, "µs CPU"),
    ]
