"""The cost of the inbox: topics with many subscribers, long lists, and clients that only wait."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

from bench.http_scenarios import kept_connection
from bench.measuring import Cost, Row, notification
from bench.server import Server, token
from bench.swarm import Swarm
from tocsin.load.kept_connection import HttpAnswer, KeptConnection

SUBSCRIBERS = 100_000  # users of the topic
ONLINE = 1000  # of these, the users who are connected


class Caller:
    """One kept-alive HTTP connection, with as little client code around it as possible."""

    def __init__(self, user: str, scope: str = "") -> None:
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token(user, scope)}\r\n"
        self._connection: KeptConnection

    async def connect(self, server: Server) -> Caller:
        self._connection = await kept_connection(server.port)
        return self

    async def call(self, method: str, path: str, content: object = None) -> Any:
        """The answer's JSON. Raises `AssertionError` for any status but 200, 201 and 204."""
        answer = await self.send(method, path, content)
        assert answer.status in (200, 201, 204), answer
        return json.loads(answer.body) if answer.body else None

    def send(self, method: str, path: str, content: object = None) -> asyncio.Future[HttpAnswer]:
        body = b"" if content is None else json.dumps(content).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        return self._connection.begin(head.encode() + body)

    async def timed(self, method: str, path: str, content: object = None) -> float:
        """How long a call took, in seconds."""
        started = time.perf_counter()
        await self.call(method, path, content)
        return time.perf_counter() - started

    def close(self) -> None:
        self._connection.close()


async def topic(server: Server) -> list[Row]:
    """A topic with 100 000 subscribers, of whom 1 000 are connected."""
    caller = await Caller("producer", "notify").connect(server)
    names = [f"u{n}" for n in range(SUBSCRIBERS)]
    for start in range(0, SUBSCRIBERS, 1000):
        users = names[start : start + 1000]
        await caller.call("POST", "/v1/topics/news/subscribers", {"users": users})
    everybody = notification([]) | {"to": {"topic": "news"}}
    alone = [
        await caller.timed("POST", "/v1/notifications", notification([f"u{n}"]))
        for n in range(50_000, 50_100)
    ]
    unwatched = [await caller.timed("POST", "/v1/notifications", everybody) for _ in range(30)]
    swarm = Swarm(server, acks=False)
    await swarm.connect([(name, "phone") for name in names[:ONLINE]], cursor=None)
    server.wait_settled()
    already, rounds = swarm.pushes, 20
    statements = server.metric("tocsin_store_statements_total")
    cost = Cost(server)
    for done in range(1, rounds + 1):
        await caller.call("POST", "/v1/notifications", everybody)
        await swarm.wait_pushes(already + done * ONLINE)
    received, _ = cost.per(rounds * ONLINE)
    server.wait_settled()
    everything, _ = cost.per(rounds * ONLINE)
    statements = server.metric("tocsin_store_statements_total") - statements
    times = []
    for done in range(rounds + 1, rounds + 11):
        times.append(await caller.timed("POST", "/v1/notifications", everybody))
        await swarm.wait_pushes(already + done * ONLINE)
        server.wait_settled()
    await swarm.close()
    caller.close()
    single = statistics.median(alone)
    return [
        Row("POST to one user, latency", single * 1000, "ms"),
        Row("POST to 100 000 subscribers, nobody there, latency", _ms(unwatched), "ms"),
        Row("the same, 1 000 of them there, latency", _ms(times), "ms"),
        Row("the same, compared with one user", statistics.median(times) / single, "times", 5),
        Row("topic delivery, until received", received, "µs CPU", 45),
        Row("topic delivery, ledger written", everything, "µs CPU"),
        Row("statements per publish to 1 000, ledger included", statements / rounds, ""),
    ]


async def inbox_pages(server: Server) -> list[Row]:
    """The inbox of a user with 10 000 notifications: its first page and its hundredth."""
    producer = await Caller("producer", "notify").connect(server)
    for _ in range(10):
        batch = [notification(["ada"]) for _ in range(1000)]
        await producer.call("POST", "/v1/notifications/batch", batch)
    producer.close()
    server.wait_settled()
    caller = await Caller("ada").connect(server)
    page, before = "/v1/inbox?limit=100", ""
    paths = []
    for _ in range(100):
        paths.append(page + before)
        answer = await caller.call("GET", paths[-1])
        before = f"&before={answer['next']}"
    assert len(answer["notifications"]) == 100
    statements = server.metric("tocsin_store_statements_total")
    costs = []
    for path in (paths[0], paths[99]):
        cost = Cost(server)
        for _ in range(200):
            await caller.call("GET", path)
        costs.append(cost.per(200)[0])
    statements = server.metric("tocsin_store_statements_total") - statements
    caller.close()
    return [
        Row("inbox, first page of 100", costs[0], "µs CPU"),
        Row("inbox, hundredth page of 100", costs[1], "µs CPU"),
        Row("inbox, hundredth compared with first", costs[1] / costs[0], "times", 1.5),
        Row("inbox, statements per page", statements / 400, ""),
    ]


async def idle_polls(server: Server) -> list[Row]:
    """2 000 long polls that wait while nothing is published: their memory and CPU."""
    polls, seconds = 2000, 10
    warm = [await Caller(f"w{n}").connect(server) for n in range(100)]
    await asyncio.gather(*(each.call("GET", "/v1/inbox/changes?wait=1&device=p") for each in warm))
    for each in warm:
        each.close()
    await asyncio.sleep(1)
    before = server.rss_bytes
    callers = []
    for number in range(polls):
        callers.append(await Caller(f"u{number}").connect(server))
        callers[-1].send("GET", "/v1/inbox/changes?wait=60&device=phone")
        if number % 50 == 49:
            await asyncio.sleep(0.1)
    server.wait_settled()
    assert server.metric("tocsin_users_online") == polls
    each_poll = (server.rss_bytes - before) / polls / 1024
    cpu = server.cpu_seconds
    await asyncio.sleep(seconds)
    cpu = (server.cpu_seconds - cpu) / seconds
    for caller in callers:
        caller.close()
    return [
        Row("RSS per waiting long poll, at 2 000", each_poll, "KiB", 60),
        Row("CPU of 2 000 waiting long polls", cpu * 100, "% of a core"),
    ]


def _ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000
