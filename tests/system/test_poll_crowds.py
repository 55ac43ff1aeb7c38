"""Long polls by the hundred: woken at once, cut at once, and back at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from servers.node import wait_until
from servers.tokens import token
from tests.system.server_kit import Server, fresh_user

PATH = "/v1/inbox/changes"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CURSOR = re.compile(rb'"cursor":"([^"]+)"')


@dataclass
class Poller:
    """One device that polls on one connection, from *cursor* on."""

    server: Server
    user: str
    cursor: str | None = None
    statuses: Counter[bytes] = field(default_factory=Counter)
    titles: list[bytes] = field(default_factory=list)

    async def connect(self) -> None:
        port = self.server.port
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def poll(self, wait: int) -> None:
        """Poll once; the answer is noted, and the next poll goes on behind it."""
        self.ask(wait)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        assert length is not None, head
        body = await self._reader.readexactly(int(length[1]))
        self.statuses[head[9:12]] += 1
        self.titles += re.findall(rb'"title":"([^"]+)"', body)
        if (found := _CURSOR.search(body)) is not None:
            self.cursor = found[1].decode()

    def ask(self, wait: int) -> None:
        since = "" if self.cursor is None else f"&cursor={self.cursor}"
        self._writer.write(
            f"GET {PATH}?device=phone&wait={wait}{since} HTTP/1.1\r\nHost: h\r\n"
            f"Authorization: Bearer {token(self.user)}\r\n\r\n".encode()
        )

    async def poll_until(self, count: int) -> None:
        while len(self.titles) < count and self.statuses.total() == self.statuses[b"200"]:
            await self.poll(30)

    def hang_up(self) -> None:
        self._writer.transport.abort()


def devices(server: Server, count: int) -> list[Poller]:
    return [Poller(server, fresh_user()) for _ in range(count)]


async def connect(pollers: list[Poller]) -> None:
    for poller in pollers:
        await poller.connect()


async def until_so_many_listen(server: Server, count: int) -> None:
    def so_many_listen() -> bool:
        return int(server.metric("tocsin_sessions")) == count

    await asyncio.to_thread(lambda: wait_until(so_many_listen, patience=60))


@pytest.mark.parametrize("count", [400, pytest.param(5000, marks=pytest.mark.faults)])
def test_polls_that_are_woken_at_once_are_all_answered_and_none_is_refused(start_server, count):
    server = start_server(connections_max=10_000)
    posts = 4

    async def scenario() -> list[Poller]:
        pollers = devices(server, count)
        for start in range(0, count, 200):
            await connect(pollers[start : start + 200])
            await asyncio.gather(*(each.poll(0) for each in pollers[start : start + 200]))
        polling = [asyncio.create_task(each.poll_until(posts)) for each in pollers]
        await until_so_many_listen(server, count)
        producer = server.producer()
        users = [each.user for each in pollers]
        for number in range(posts):
            for start in range(0, count, 1000):
                await asyncio.to_thread(
                    producer.post, *users[start : start + 1000], title=str(number)
                )
        async with asyncio.timeout(30 + count / 20):
            await asyncio.gather(*polling)
        for each in pollers:
            each.hang_up()
        return pollers

    for poller in asyncio.run(scenario()):
        assert poller.statuses.keys() == {b"200"}
        assert poller.titles == [b"0", b"1", b"2", b"3"]


def test_devices_that_polled_from_the_beginning_may_do_so_again(start_server):
    """As often as they like, also where the polls before were cut in the middle."""
    server = start_server()
    count, titles = 300, [b"0", b"1", b"2"]

    async def scenario() -> None:
        pollers = devices(server, count)
        producer = server.producer()
        for title in titles:
            users = [each.user for each in pollers]
            await asyncio.to_thread(producer.post, *users, title=title.decode())
        for _ in range(4):
            again = [Poller(server, each.user, "0") for each in pollers]
            await connect(again)
            started = time.monotonic()
            await asyncio.gather(*(each.poll(30) for each in again))
            assert time.monotonic() - started < 25  # and not for as long as they would wait
            assert all(each.titles == titles for each in again)
            for each in again:
                each.ask(30)
            for each in again:
                each.hang_up()
        # Every place that they held has been given back.
        await until_so_many_listen(server, 0)

    asyncio.run(scenario())
