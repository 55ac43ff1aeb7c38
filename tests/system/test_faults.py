"""What breaks, and what holds all the same: everything that was answered is accounted for by id.

Each fault has a short version, which always runs, and a long one for `./dev test --faults`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from servers.node import wait_until
from servers.postgres import Postgres
from servers.tokens import PRODUCER, bearer, token
from tests.system.crowd_kit import (
    Books,
    CrowdDevice,
    audit,
    eventually,
    load,
    open_http,
    open_socket,
    running,
)
from tests.system.neighbour_kit import waited_for_a_core
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server, fresh_user

SHORT_AND_LONG = [0.5, pytest.param(10.0, marks=pytest.mark.faults)]
"""Seconds under load before the fault."""


@pytest.fixture(params=["sqlite", "postgres"])
def own_store(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "sqlite":
        return {}
    return {"database": request.getfixturevalue("postgres_url")}


def crowd_of(server: Server, users: list[str], devices_each: int) -> list[CrowdDevice]:
    return [
        CrowdDevice(server, user, f"device-{number}")
        for user in users
        for number in range(devices_each)
    ]


async def all_connected(devices: list[CrowdDevice]) -> None:
    await eventually(lambda: all(each.connected.is_set() for each in devices), "all devices")


async def all_received(devices: list[CrowdDevice], books: Books) -> None:
    def missing() -> int:
        return sum(len(books.accepted_for(each.user) - each.received) for each in devices)

    await eventually(lambda: not missing(), lambda: f"{missing()} pushes")


async def some_load(books: Books, seconds: float) -> None:
    """Wait until at least 100 more posts were accepted, for at least *seconds*."""
    accepted, started = len(books.accepted), time.monotonic()
    await eventually(
        lambda: len(books.accepted) > accepted + 100 and time.monotonic() > started + seconds,
        "posts to be accepted",
    )


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


# --- Postgres ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [2.0, pytest.param(10.0, marks=pytest.mark.faults)])
def test_postgres_may_be_away_for_a_while(start_server, own_postgres: Postgres, seconds):
    server = start_server(database=own_postgres.create_database(), resend_delay=1)
    books = Books([fresh_user() for _ in range(5)])
    devices = crowd_of(server, books.users, 2)
    ada = fresh_user()
    held_back = CrowdDevice(server, ada, "held-back", acknowledges=False)

    async def scenario() -> None:
        async with (
            running(each.live() for each in [*devices, held_back]),
            open_http(server) as http,
        ):
            await all_connected([*devices, held_back])
            notification = await post(http, ada)
            await eventually(lambda: notification in held_back.pushes, "the push")
            async with load(server, books, producers=4):
                await asyncio.sleep(0.5)  # waits for: load to build up
                await asyncio.to_thread(own_postgres.stop)
                away_since = time.monotonic()
                await eventually(
                    lambda: all(
                        {"store": "lost"}.items() <= each.seen("status")[-1].items()
                        if each.seen("status")
                        else False
                        for each in devices
                    ),
                    "the devices to be told",
                )
                assert (await http.get("/readyz")).json()["hops"]["store"] == "lost"
                assert (await http.get("/livez")).status_code == 200
                held_back.acknowledges = True  # the next resend is acknowledged meanwhile
                await asyncio.sleep(seconds)  # waits for: an outage that lasts
                back = time.monotonic()
                await asyncio.to_thread(own_postgres.start)
                await eventually(
                    lambda: all(each.seen("status")[-1]["store"] == "ok" for each in devices),
                    "the devices to be told that it is back",
                )
                accepted = len(books.accepted)
                await eventually(lambda: len(books.accepted) > accepted + 20, "posts to go on")
            during = [answer for at, answer in books.refusals if away_since < at < back]
            assert during
            for answer in books.refused_with(503):
                expect_problem(answer, 503, "store_unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            assert {answer.status_code for _, answer in books.refusals} == {503}
            await all_received(devices, books)
            await audit(server, books)
            assert held_back.sessions == 1, "an outage of the store ends no session"
            assert all(each.sessions == 1 for each in devices)
            assert all(each.faults == [] for each in devices)
            ledger = server.producer().ledger
            await eventually(
                lambda: ledger(notification)["held-back"]["outcome"] == "acknowledged",
                "the ack that was made meanwhile",
            )

    asyncio.run(scenario())


async def post(http: httpx.AsyncClient, user: str, **fields: Any) -> str:
    body = {"to": {"users": [user]}, "title": "Hello", **fields}
    answer = await http.post("/v1/notifications", json=body)
    return str(expect_json(answer, 201)["id"])


@pytest.mark.parametrize("seconds", [1.0, pytest.param(5.0, marks=pytest.mark.faults)])
@pytest.mark.parametrize("store_timeout", [0.5, pytest.param(10, marks=pytest.mark.faults)])
def test_postgres_may_hang_for_a_while(
    start_server, own_postgres: Postgres, seconds, store_timeout
):
    server = start_server(
        database=own_postgres.create_database(), resend_delay=1, store_timeout=store_timeout
    )
    books = Books([fresh_user() for _ in range(5)])
    devices = crowd_of(server, books.users, 2)

    async def scenario() -> None:
        async with running(each.live() for each in devices):
            await all_connected(devices)
            async with load(server, books, producers=4):
                await asyncio.sleep(0.5)  # waits for: load to build up
                await asyncio.to_thread(own_postgres.pause)
                await asyncio.sleep(seconds)  # waits for: a hang that lasts
                assert (await asyncio.to_thread(httpx.get, f"{server.url}/livez")).is_success
                await asyncio.to_thread(own_postgres.resume)
                accepted = len(books.accepted)
                await eventually(lambda: len(books.accepted) > accepted + 20, "posts to go on")
            assert {answer.status_code for _, answer in books.refusals} <= {503}
            if store_timeout < seconds:
                assert books.refused_with(503)
            await all_received(devices, books)
            await audit(server, books)
            assert all(each.faults == [] for each in devices)
            assert all(each.sent_in_vain() == [] for each in devices)

    asyncio.run(scenario())


def test_a_server_waits_for_a_postgres_that_is_not_there_yet(
    tmp_path: Path, own_postgres: Postgres, ada
):
    database = own_postgres.create_database()
    own_postgres.stop()
    server = Server(tmp_path, {"database": database})
    try:
        server.start(ready=False)
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        expect_problem(server.producer().try_post(ada), 503, "store_unavailable")
        with server.connect(ada) as phone:
            phone.hello()
            assert phone.expect_goodbye(4006)["after"] > 0

        own_postgres.start()
        wait_until(server.is_ready, patience=20)
        server.producer().post(ada)
    finally:
        server.close()


# --- The disk ------------------------------------------------------------------------------------


def test_a_file_that_may_not_grow_is_a_state_and_not_a_crash(start_server, ada):
    server = start_server()
    producer = server.producer()
    with server.device(ada) as phone:
        phone.expect_synced()
        kept = fill(producer, ada, 5)
        size = max(path.stat().st_size for path in (server.directory / "data").iterdir())
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)

        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 20_000, hard))
        expect_full(server, producer, ada, kept)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

        wait_until(server.is_ready, what="recovery")
        phone.send("ping")
        statuses = []
        while (frame := phone.receive())["type"] != "pong":
            if frame["type"] == "status":
                statuses.append(frame["store"])
        assert statuses[0] == "lost"
        assert statuses[-1] == "ok"
    expect_recovered(server, producer, ada, kept)


def fill(producer: Producer, user: str, count: int) -> list[str]:
    return [producer.post(user, data="x" * 30_000) for _ in range(count)]


def expect_full(server: Server, producer: Producer, user: str, kept: list[str]) -> None:
    """Posts are refused in time, and what is there can still be read."""

    def refused() -> httpx.Response | None:
        answer = producer.try_post(user, data="x" * 30_000)
        if answer.status_code == 201:
            kept.append(answer.json()["id"])
            return None
        return answer

    answer = wait_until(refused, what="the disk to be full")
    assert answer is not None
    expect_problem(answer, 503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    inbox = wait_until(lambda: read_inbox(server, user), what="reads while the disk is full")
    assert {each["id"] for each in inbox} == set(kept)
    for _ in range(20):
        answer = producer.try_post(user, data="x" * 30_000)
        assert answer.status_code in {201, 503}
        if answer.status_code == 201:
            kept.append(answer.json()["id"])


def read_inbox(server: Server, user: str) -> list[Any]:
    """The whole inbox, page by page; nothing when a page is refused."""
    read: list[Any] = []
    path = "/v1/inbox?limit=200"
    while True:
        answer = server.http.get(path, headers=bearer(token(user)))
        if answer.status_code != 200:
            return []
        page = answer.json()
        read += page["notifications"]
        if page["next"] is None:
            return read
        path = f"/v1/inbox?limit=200&before={page['next']}"


def expect_recovered(server: Server, producer: Producer, user: str, kept: list[str]) -> None:
    wait_until(server.is_ready, what="recovery")
    kept += fill(producer, user, 3)
    assert {each["id"] for each in read_inbox(server, user)} == set(kept)
    server.kill()
    server.start()
    assert {each["id"] for each in read_inbox(server, user)} == set(kept)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 12 MiB. Root mounts one; others have none to give."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    options = ["-t", "tmpfs", "-o", "size=12m", "tocsin-test"]
    if subprocess.run(["mount", *options, str(disk)]).returncode:
        pytest.skip("this root may not mount")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_a_state_and_not_a_crash(start_server, small_disk: Path, ada):
    server = start_server(data=small_disk / "data")
    producer = server.producer()
    kept = fill(producer, ada, 5)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass

    expect_full(server, producer, ada, kept)
    ballast.unlink()
    expect_recovered(server, producer, ada, kept)


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
