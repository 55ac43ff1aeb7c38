"""Producers of the load: posts over kept connections, on a schedule that does not wait for answers.

Each connection carries one post at a time. A post that finds no free connection waits, and its time
counts from the moment when it was due: else a server that stalls would be measured only when it
does not (coordinated omission, G. Tene).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from tocsin.load.books import Books
from tocsin.load.kept_connection import KeptConnection
from tocsin.load.plan import LoadPlan
from tocsin.load.target import Target

_AGAIN_AFTER: Final = (0.1, 1.0)
"""Seconds before a post is said again that was not answered, or not yet accepted."""
_ACCEPTED: Final = frozenset({200, 201, 202})  # statuses; the last is of a spooled post
_PASSING: Final = frozenset({409, 429, 503})
"""Statuses of a node that may accept the same post later: a key in flight, a limit, no store."""
_TRIES_MAX: Final = 60
"""Times that a post is said before it is given up: a minute or so, as long as a failover takes."""


class Producers:
    """All producers of a run; its posts bear the name *run*."""

    def __init__(
        self, run: str, target: Target, books: Books, plan: LoadPlan, chance: random.Random
    ) -> None:
        self._run = run
        self._target = target
        self._books = books
        self._plan = plan
        self._chance = chance
        self._due: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
        self._groups = self._turns()

    async def post(self, began: float, duration: float) -> None:
        """Post on schedule from *began* for *duration* seconds; return when all are answered.

        Cancelling leaves the answers of posts under way unknown.
        """
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self._work()) for _ in range(self._plan.connections)]
            for number in range(int(self._plan.posts * duration)):
                due = began + number / self._plan.posts
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self._due.put_nowait((number, due))
            await self._due.join()
            for worker in workers:
                worker.cancel()

    def _turns(self) -> Iterator[tuple[str, ...]]:
        """The users of each post, in turn."""
        users, count, place = self._books.users, self._plan.recipients, 0
        while True:
            chosen = [users[(place + offset) % len(users)] for offset in range(count)]
            yield tuple(chosen)
            place = (place + count) % len(users)

    async def _work(self) -> None:
        connection = KeptConnection()
        try:
            while True:
                number, due = await self._due.get()
                users = next(self._groups)
                self._books.begin(number, users, due)
                connection = await self._say(connection, number, users)
                if self._chance.random() < self._plan.repeats:
                    connection = await self._say(connection, number, users)
                self._due.task_done()
        finally:
            connection.close()

    async def _say(
        self, connection: KeptConnection, number: int, users: tuple[str, ...]
    ) -> KeptConnection:
        """Say the post until it is answered for good; the connection that is left."""
        request = self._request(number, users)
        for _ in range(_TRIES_MAX):
            try:
                if not connection.is_open:
                    connection = KeptConnection()
                    await self._target.connect(connection)
                status = (await connection.ask(request)).status
            except OSError:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            if status in _ACCEPTED:
                self._books.accept(number, time.perf_counter())
                return connection
            if status not in _PASSING:
                self._books.refuse(number)
                return connection
            await asyncio.sleep(self._chance.uniform(*_AGAIN_AFTER))
        self._books.give_up(number)
        return connection

    def _request(self, number: int, users: tuple[str, ...]) -> bytes:
        body = json.dumps(
            {
                "to": {"users": list(users)},
                "title": "Build 4711 is green",
                "body": "All 2 311 tests passed in 6 min 12 s.",
                "category": "load",
                "data": {"load": self._run, "number": number},
            },
            separators=(",", ":"),
        ).encode()
        head = (
            f"POST /v1/notifications HTTP/1.1\r\nHost: {self._target.authority}\r\n"
            f"Authorization: Bearer {self._target.producer}\r\n"
            f"Idempotency-Key: {self._run}-{number}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
