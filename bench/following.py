"""Followers of the inbox over plain HTTP: streams of events, and long polls.

A follower is as light as it can be made, so that the CPU is left to the server: it counts pushes in
the bytes that come, and takes an answer apart only as far as its next request needs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from bench.http_scenarios import kept_connection
from bench.measuring import Cost, Row
from bench.producing import Producer
from bench.server import Server, token
from bench.swarm import Swarm
from tocsin.load.kept_connection import take_answer

_PUSH: Final = b'"type":"push"'
_CURSOR: Final = re.compile(rb'"cursor":"([^"]+)"')
_CONNECTING_MAX: Final = 100  # followers that connect at a time
_ROUNDS: Final = 10  # notifications to all of them


class Follower(asyncio.Protocol):
    """One connection that follows; *heard* is told of the pushes in what comes."""

    def __init__(self, user: str, heard: Callable[[int], None]) -> None:
        self._head = f"HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token(user)}\r\n\r\n"
        self._heard = heard
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.begin()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("closed before it had begun"))

    def begin(self) -> None:
        """Ask for what is to be followed."""
        raise NotImplementedError

    def ask(self, target: str) -> None:
        assert self.transport is not None
        self.transport.write(f"GET {target} {self._head}".encode())


class StreamFollower(Follower):
    """A stream of events; it has begun when it is in sync."""

    def begin(self) -> None:
        self.ask("/v1/inbox/stream?device=phone")

    def data_received(self, data: bytes) -> None:
        pushes = data.count(b"event: push")
        if pushes:
            self._heard(pushes)
        if not self.begun.done() and b"event: synced" in data:
            self.begun.set_result(None)


class PollFollower(Follower):
    """One long poll after the other; it has begun when the first is answered.

    `statuses` counts the answers by their status.
    """

    def __init__(self, user: str, heard: Callable[[int], None], *, wait: int = 60) -> None:
        super().__init__(user, heard)
        self._wait = wait
        self._buffer = bytearray()
        self.statuses: Counter[int] = Counter()
        self.stopped = False

    def begin(self) -> None:
        self.ask("/v1/inbox/changes?device=phone")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (answer := take_answer(self._buffer)) is None:
            return
        self.statuses[answer.status] += 1
        cursor = _CURSOR.search(answer.body)
        if cursor is None:
            return  # it is refused, and the scenario looks at how many were
        if not self.stopped:
            self.ask(
                f"/v1/inbox/changes?device=phone&wait={self._wait}&cursor={cursor[1].decode()}"
            )
        if not self.begun.done():
            self.begun.set_result(None)
        if pushes := answer.body.count(_PUSH):
            self._heard(pushes)


class Crowd:
    """Followers that begin together, and the pushes that all of them have heard."""

    def __init__(self, server: Server, kind: Callable[..., Follower]) -> None:
        self._server = server
        self._kind = kind
        self.followers: list[Follower] = []
        self.pushes = 0

    def heard(self, pushes: int) -> None:
        self.pushes += pushes

    async def connect(self, users: list[str]) -> None:
        """Connect a follower for each of *users*; wait until all have begun."""
        gate = asyncio.Semaphore(_CONNECTING_MAX)
        loop = asyncio.get_running_loop()

        async def connect(user: str) -> Follower:
            async with gate:
                _, follower = await loop.create_connection(
                    lambda: self._kind(user, self.heard), "127.0.0.1", self._server.port
                )
                await asyncio.wait_for(follower.begun, 60)
                return follower

        self.followers += await asyncio.gather(*map(connect, users))

    async def wait_pushes(self, count: int, timeout: float = 60.0) -> None:
        """Wait until *count* pushes were heard; raises `TimeoutError` after *timeout* seconds."""
        deadline = time.perf_counter() + timeout
        while self.pushes < count:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{self.pushes} pushes of {count} came")
            await asyncio.sleep(0.005)

    async def wait_sessions(self, count: int, timeout: float = 60.0) -> None:
        """Wait until *count* devices listen; raises `TimeoutError` after *timeout* seconds."""
        deadline = time.perf_counter() + timeout
        while self._server.metric("tocsin_sessions") < count:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"fewer than {count} devices listen")
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        for follower in self.followers:
            assert follower.transport is not None
            follower.transport.abort()
        await asyncio.sleep(0.1)


async def _fan_out(server: Server, kind: Callable[..., Follower], name: str) -> list[Row]:
    users = [f"u{n}" for n in range(1000)]
    crowd = Crowd(server, kind)
    await crowd.connect(users)
    producer = await Producer(server).connect()
    await crowd.wait_sessions(len(users))
    server.wait_settled()
    cost = Cost(server)
    for done in range(1, _ROUNDS + 1):
        await producer.publish([users])
        await crowd.wait_pushes(done * len(users))
        if kind is PollFollower:
            await crowd.wait_sessions(len(users))
    server.wait_settled()
    cpu, _ = cost.per(_ROUNDS * len(users))
    await crowd.close()
    await producer.close()
    return [Row(name, cpu, "µs CPU")]


async def streams(server: Server) -> list[Row]:
    """Ten notifications to 1 000 users with a stream each, the ledger included."""
    return await _fan_out(server, StreamFollower, "delivery to 1 000 streams")


async def polls(server: Server) -> list[Row]:
    """Ten notifications to 1 000 users with a long poll each; the next poll is part of it."""
    return await _fan_out(server, PollFollower, "delivery to 1 000 long polls, the next included")


async def poll_storm(server: Server) -> list[Row]:
    """5 000 users in long polls, and four notifications to all of them at once.

    Meanwhile `/livez` is asked every 50 ms, on a connection that is kept.
    """
    users = [f"u{n}" for n in range(5000)]
    crowd = Crowd(server, PollFollower)
    await crowd.connect(users)
    producer = await Producer(server).connect()
    await crowd.wait_sessions(len(users))
    server.wait_settled()
    looks: list[float] = []
    looking = asyncio.create_task(_look_at_health(server, looks))
    started, cost = time.perf_counter(), Cost(server)
    groups = [users[start : start + 1000] for start in range(0, len(users), 1000)]
    await producer.publish(groups * 4)
    try:
        await crowd.wait_pushes(4 * len(users), 120)
    except TimeoutError as error:
        print(f"poll-storm: {error}")
    seconds = time.perf_counter() - started
    cpu, _ = cost.per(4 * len(users))
    looking.cancel()
    statuses: Counter[int] = Counter()
    for follower in crowd.followers:
        assert isinstance(follower, PollFollower)
        statuses += follower.statuses
    await crowd.close()
    await producer.close()
    refused = statuses.total() - statuses[200]
    return [
        Row("5 000 polls, four notifications at once: refused", refused, "", 0),
        Row("the same, until all are received", seconds, "s"),
        Row("the same, for each", cpu, "µs CPU"),
        Row("the same, slowest answer to `/livez` meanwhile", max(looks) * 1000, "ms"),
    ]


async def _look_at_health(server: Server, looks: list[float]) -> None:
    connection = await kept_connection(server.port)
    while True:
        started = time.perf_counter()
        await connection.ask(b"GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n")
        looks.append(time.perf_counter() - started)
        await asyncio.sleep(0.05)


async def connects(server: Server) -> list[Row]:
    """2 000 known devices connect again, 50 at a time, from the first byte until in sync."""
    devices = [(f"u{n}", "phone") for n in range(2000)]
    before = Swarm(server)
    await before.connect(devices)
    await before.close()
    server.wait_settled()
    swarm = Swarm(server)
    cost = Cost(server)
    await swarm.connect(devices)
    cpu, rate = cost.per(len(devices))
    await swarm.close()
    return [
        Row("connect, until in sync", cpu, "µs CPU", 500),
        Row("connect, rate", rate, "1/s"),
    ]


async def first_connects(server: Server) -> list[Row]:
    """2 000 devices that nobody knows connect, from the first byte until in sync."""
    warm = Swarm(server)
    await warm.connect([(f"w{n}", "phone") for n in range(100)])
    server.wait_settled()
    swarm = Swarm(server)
    cost = Cost(server)
    await swarm.connect([(f"u{n}", "phone") for n in range(2000)])
    cpu, _ = cost.per(2000)
    await swarm.close()
    await warm.close()
    return [Row("first connect of a device, until in sync", cpu, "µs CPU")]
