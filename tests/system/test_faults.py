"""Faults, and the promise that holds all the same: all that was answered is accounted for by id.

Each fault has a short version, which always runs, and a long one for `./dev test --faults`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from servers.node import wait_until
from servers.tokens import PRODUCER, bearer, token
from tests.system.crowd_kit import (
    Books,
    CrowdDevice,
    audit,
    eventually,
    load,
    open_socket,
    running,
)
from tests.system.faults_kit import SHORT_AND_LONG, all_connected, all_received, crowd_of, some_load
from tests.system.neighbour_kit import waited_for_a_core
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server, fresh_user


@pytest.fixture(params=["sqlite", "postgres"])
def own_store(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "sqlite":
        return {}
    return {"database": request.getfixturevalue("postgres_url")}


# --- The server ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", SHORT_AND_LONG)
def test_a_killed_server_has_lost_nothing_that_it_answered(start_server, own_store, seconds):
    server = start_server(resend_delay=1, **own_store)
    books = Books([fresh_user() for _ in range(10)])
    devices = crowd_of(server, books.users, 2)

    crashes: list[float] = []

    async def scenario() -> None:
        async with running(each.live() for each in devices):
            await all_connected(devices)
            async with load(server, books, producers=8):
                for _ in range(1 if seconds < 5 else 3):
                    await some_load(books, seconds)
                    await asyncio.to_thread(server.kill)
                    crashes.append(time.monotonic())
                    await asyncio.to_thread(server.start)
                    await all_connected(devices)
                await some_load(books, 0)
            await all_received(devices, books)
            logs = await audit(server, books)
            for each in devices:
                assert each.faults == []
                assert each.received == {push["notification"]["id"] for push in logs[each.user]}
                assert each.sent_in_vain(crashes) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("seconds", SHORT_AND_LONG)
def test_a_stopping_server_says_goodbye_in_time_and_has_lost_nothing(
    start_server, own_store, seconds
):
    drain_time = 2
    server = start_server(drain_time=drain_time, hello_timeout=60, **own_store)
    books = Books([fresh_user() for _ in range(10)])
    devices = crowd_of(server, books.users, 4)
    stalled = [Wire(server, receive_buffer=4096) for _ in range(10)]
    silent = Wire(server).upgrade(books.users[0])

    async def scenario() -> None:
        async with running(once(each) for each in devices):
            await all_connected(devices)
            async with load(server, books, producers=8):
                await some_load(books, seconds)
                started = time.monotonic()
                server.signal(signal.SIGTERM)
                code = await asyncio.to_thread(server.wait)
                took = time.monotonic() - started
            assert code == 0
            assert took < drain_time + 1
            await eventually(lambda: all(each.seen("goodbye") for each in devices), "goodbyes")

    for wire, user in zip(stalled, books.users, strict=True):
        wire.upgrade(user)
        wire.say("hello", device="stalled", window=1024)
        wire.socket.settimeout(1)
    try:
        asyncio.run(scenario())
        goodbyes = [each.seen("goodbye") for each in devices]
        assert all(len(each) == 1 for each in goodbyes)
        assert {each[0]["code"] for each in goodbyes} == {4000}
        delays = [each[0]["after"] for each in goodbyes]
        assert all(0 <= delay <= drain_time for delay in delays)
        assert max(delays) - min(delays) > drain_time / 3, "reconnects are not spread"
        assert b'"code":4000' in silent.read_to_end(), "who has said no hello is not told"
    finally:
        for wire in (*stalled, silent):
            wire.socket.close()

    server.start()
    asyncio.run(audit(server, books))


async def once(device: CrowdDevice) -> None:
    with suppress(ConnectionClosed):
        await device.session()


def test_a_second_signal_means_it(start_server, ada):
    server = start_server(drain_time=60)
    with Wire(server, receive_buffer=4096) as deaf:
        deaf.upgrade(ada)
        server.signal(signal.SIGTERM)
        wait_until(lambda: any(line["event"] == "stopping" for line in server.log()))
        server.signal(signal.SIGTERM)
        server.wait(5)


def test_a_stopping_server_is_not_ready_and_takes_nobody_in(start_server, ada):
    server = start_server(drain_time=5)
    with Wire(server) as keep_alive, server.device(ada) as phone:
        phone.expect_synced()
        assert keep_alive.ask(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        server.signal(signal.SIGTERM)
        phone.expect_goodbye(4000)
    assert server.wait() == 0


# --- Many at once --------------------------------------------------------------------------------


def test_a_thousand_posts_at_once_share_their_transactions(start_server, own_store):
    server = start_server(**own_store)
    user = fresh_user()
    before = server.metric("tocsin_store_transactions_total")
    waited_before = waited_for_a_core(server.process.pid)

    statuses = asyncio.run(post_at_once(server, [user] * 1000))

    waited = waited_for_a_core(server.process.pid) - waited_before
    transactions = server.metric("tocsin_store_transactions_total") - before
    assert statuses == [201] * 1000
    # Where the node has no core for 8 ms, it was quiet: those who have come go.
    assert transactions <= 60 + waited / 0.008
    inbox = server.http.get("/v1/inbox", headers=bearer(token(user))).json()
    assert inbox["cursor"].endswith(".1000")


async def post_at_once(server: Server, users: list[str]) -> list[int]:
    """A request on a connection of its own for each of *users*; the server finds all there at once,
    however long it took to send them.
    """
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in users]
    server.signal(signal.SIGSTOP)
    for number, (_, writer) in enumerate(connections):
        body = json.dumps({"to": {"users": [users[number]]}, "title": str(number)}).encode()
        writer.write(
            b"POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
            % (PRODUCER.encode(), len(body), body)
        )
        await writer.drain()
    server.signal(signal.SIGCONT)

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        answer = await reader.read()
        writer.close()
        return int(answer.split(b" ", 2)[1])

    return await asyncio.gather(*(status(*each) for each in connections))


@pytest.mark.parametrize("devices", [400, pytest.param(2000, marks=pytest.mark.faults)])
def test_all_devices_may_come_back_at_once(start_server, own_store, devices):
    server = start_server(**own_store)
    users = [fresh_user() for _ in range(devices)]
    missed = 3

    async def come(user: str, expected: int) -> None:
        async with open_socket(server, user) as socket:
            await socket.send(json.dumps({"type": "hello", "device": "phone"}))
            titles = []
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "push":
                    titles.append(frame["notification"]["title"])
                    await socket.send(json.dumps({"type": "ack", "sequence": frame["sequence"]}))
                if frame["type"] == "synced":
                    break
            assert titles == [str(number) for number in range(expected)]

    async def scenario() -> float:
        await asyncio.gather(*(come(user, 0) for user in users))
        producer = server.producer()
        for number in range(missed):
            for start in range(0, devices, 1000):
                await asyncio.to_thread(
                    producer.post, *users[start : start + 1000], title=str(number)
                )
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        started = time.monotonic()
        await asyncio.gather(*(come(user, missed) for user in users))
        return time.monotonic() - started

    took = asyncio.run(scenario())
    assert took < 10 + devices / 50
    reads = server.metric("tocsin_store_reads_total")
    assert reads < devices / 2, "replays are read one by one"
