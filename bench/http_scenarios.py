"""The cost of a request on a kept connection: a post, a page of the inbox, a health check."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Final

from bench.measuring import Cost, Row, notification
from bench.producing import Producer
from bench.server import Server, token
from bench.swarm import Swarm
from tocsin.load.kept_connection import KeptConnection

_CONNECTIONS: Final = 16  # kept connections, with a request at a time each
_CROWD: Final = 10_000
"""Users with a device each, when the metrics are read."""


async def kept_connection(port: int) -> KeptConnection:
    """A connection to *port* of this machine. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(KeptConnection, "127.0.0.1", port)
    return connection


class Kept:
    """One kept-alive connection that repeats a request, each after the answer to the one before.

    `taken` has the seconds of each request.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self.taken: list[float] = []

    async def run(self, count: int) -> None:
        connection = await kept_connection(self._port)
        try:
            for _ in range(count):
                started = time.perf_counter()
                answer = await connection.ask(self._request)
                assert answer.status in (200, 201), answer
                self.taken.append(time.perf_counter() - started)
        finally:
            connection.close()


def request(method: str, path: str, bearer: str | None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", "Accept: */*", "User-Agent: bench"]
    if bearer is not None:
        lines.append(f"Authorization: Bearer {bearer}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _ask(server: Server, asked: bytes, count: int, name: str) -> list[Row]:
    each = count // _CONNECTIONS
    await asyncio.gather(*(Kept(server.port, asked).run(20) for _ in range(_CONNECTIONS)))
    clients = [Kept(server.port, asked) for _ in range(_CONNECTIONS)]
    cost = Cost(server)
    await asyncio.gather(*(client.run(each) for client in clients))
    cpu, rate = cost.per(each * _CONNECTIONS)
    everything = cost.with_database(each * _CONNECTIONS)
    taken = [seconds for client in clients for seconds in client.taken]
    return [
        Row(name, cpu, "µs CPU"),
        Row(f"{name}, with the database", everything, "µs CPU"),
        Row(f"{name}, rate", rate, "1/s"),
        Row(f"{name}, p50", statistics.median(taken) * 1000, "ms"),
    ]


async def posts(server: Server) -> list[Row]:
    """Posts from 16 kept connections to one user, whose connected device acknowledges them."""
    swarm = Swarm(server)
    await swarm.connect([("ada", "phone")])
    body = json.dumps(notification(["ada"])).encode()
    asked = request("POST", "/v1/notifications", token("producer", "notify"), body)
    rows = await _ask(server, asked, 6400, "POST on a kept connection")
    server.wait_settled()
    await swarm.close()
    return rows


async def pages(server: Server) -> list[Row]:
    """Requests for an inbox page of 20 notifications, from 16 kept connections."""
    body = json.dumps(notification(["ada"])).encode()
    asked = request("POST", "/v1/notifications", token("producer", "notify"), body)
    await Kept(server.port, asked).run(40)
    page = request("GET", "/v1/inbox?limit=20", token("ada"))
    return await _ask(server, page, 4800, "GET of an inbox page of 20")


async def health(server: Server) -> list[Row]:
    """Requests for `/livez`, the health check of a load balancer, from 16 kept connections."""
    return await _ask(server, request("GET", "/livez", None), 16_000, "GET /livez")


async def metrics(server: Server) -> list[Row]:
    """Reads of `/metrics`, one by one, from a node with 10 000 users who were pushed to."""
    users = [f"u{n}" for n in range(_CROWD)]
    swarm = Swarm(server)
    await swarm.connect([(user, "phone") for user in users])
    producer = await Producer(server).connect()
    await producer.publish([users[start : start + 1000] for start in range(0, _CROWD, 1000)])
    await swarm.wait_pushes(_CROWD)
    server.wait_settled()
    client = Kept(server.port, request("GET", "/metrics", token("op", "admin")))
    await client.run(10)
    cost = Cost(server)
    await client.run(100)
    cpu, _ = cost.per(100)
    series = server.series
    await producer.close()
    await swarm.close()
    return [
        Row("GET /metrics of a node with 10 000 users", cpu, "µs CPU", 10_000),
        Row("the same, series", series, "", 400),
    ]
