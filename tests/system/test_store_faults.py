"""Faults of the store, and the promises that hold: Postgres away, or hanging; a full disk.

Each fault has a short version, which always runs, and a long one for `./dev test --faults`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.node import PATIENCE, wait_until
from servers.postgres import Postgres
from servers.tokens import bearer, token
from tests.system.crowd_kit import Books, CrowdDevice, audit, eventually, load, open_http, running
from tests.system.device_kit import Device
from tests.system.faults_kit import all_connected, all_received, crowd_of
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

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
            for answer in books.refused_with(409):
                # A producer that has given up an answer asks again while that is on its way.
                assert books.silences, answer.text
                expect_problem(answer, 409, "idempotency_in_flight")
            assert {answer.status_code for _, answer in books.refusals} <= {409, 503}
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
        assert httpx.get(f"{server.url}/livez", timeout=PATIENCE).status_code == 200
        assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 503
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
        # One transaction that fails is no outage, and the log is written over from its beginning
        # where there is room: only a database that cannot grow either fails time after time.
        wait_until(partial(is_told_of_loss, server, ada, phone, kept), what="the store to be lost")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert "ok" in stores(phone)
    expect_recovered(server, producer, ada, kept)


def is_told_of_loss(server: Server, user: str, phone: Device, kept: list[str]) -> bool:
    """Post once more; whether *phone* is told that the store is lost."""
    answer = server.producer().try_post(user, data="x" * 30_000)
    if answer.status_code == 201:
        kept.append(answer.json()["id"])
    phone.send("ping")
    return "lost" in stores(phone, until="pong")


def stores(phone: Device, until: str = "") -> Iterator[str]:
    """The words to *phone* about the store from now on, until a frame of the type *until*."""
    while (frame := phone.receive())["type"] != until:
        if frame["type"] == "status":
            yield frame["store"]


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
