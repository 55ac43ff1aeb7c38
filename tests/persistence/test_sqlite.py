"""Matters of SQLite alone: the file, its thread, and disks that fill up."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.persistence.desk_kit import Desk, positions, publish
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreUnavailable

ROOT = Path(__file__).parents[2]

WRITER = """
import itertools, os, sys, trio
from tests.persistence import desk_kit
from tocsin.persistence.sqlite.store import SqliteStore

async def main():
    desk_kit._counter = itertools.count(int.from_bytes(os.urandom(8)))  # other ids than last time
    store = SqliteStore(sys.argv[1])
    await store.open()
    while True:
        results = await store.write([desk_kit.publish("ann") for _ in range(5)])
        print(results[-1].fan_outs[0].positions[0].sequence, flush=True)

trio.run(main)
"""


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "data" / "tocsin.db")
    await store.open()
    yield store
    await store.aclose()


async def test_the_file_and_its_directory_are_private(store, tmp_path):
    await Desk(store).publish("ann")

    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for file in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_commits_are_synced(store):
    connection = store._connection

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("number", [10, 25])
async def test_a_full_disk_is_unavailable_until_there_is_room(store, number):
    desk = Desk(store)
    await desk.publish("ann")
    connection = store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + number}")

    with pytest.raises(StoreUnavailable, match="full"):
        await desk.write(*[publish("ann", body="x" * 4000) for _ in range(100)])
    assert (await desk.page("ann")).head == 1

    connection.execute("PRAGMA max_page_count = 1000000")
    assert positions(await desk.publish("ann"))[0].sequence == 2
    await store.probe()


async def test_a_file_that_may_not_grow_is_unavailable_until_it_may(tmp_path):
    """The same from the operating system's side: writing fails, in a process of its own."""
    program = """
import resource, signal, sys, trio
from tests.persistence.desk_kit import Desk, positions, publish
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreUnavailable

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = SqliteStore(sys.argv[1])
    await store.open()
    desk = Desk(store)
    await desk.publish("ann")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    for _ in range(3):
        try:
            await desk.write(*[publish("ann", body="x" * 4000) for _ in range(200)])
        except StoreUnavailable:
            print("unavailable")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(positions(await desk.publish("ann"))[0].sequence)
    await store.aclose()

trio.run(main)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "tocsin.db")]
    done = await trio.run_process(command, capture_stdout=True, cwd=ROOT)

    assert done.stdout.decode().split() == ["unavailable", "unavailable", "unavailable", "2"]


async def test_a_foreign_lock_is_waited_for_and_then_the_store_is_unavailable(store, monkeypatch):
    store._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(store._path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="locked"):
        await store.write([publish("ann")])
    assert (await Desk(store).page("ann")).head == 0

    other.execute("ROLLBACK")
    other.close()
    assert positions(await Desk(store).publish("ann"))[0].sequence == 1


async def test_a_path_where_no_file_can_be_is_unavailable_and_can_be_tried_again(tmp_path):
    place = tmp_path / "data"
    place.write_text("a file where the directory should be")
    store = SqliteStore(place / "tocsin.db")

    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.aclose()

    place.unlink()
    await store.open()
    await store.probe()
    await store.aclose()
    await store.aclose()


async def test_a_cancelled_write_may_still_commit_and_the_next_one_waits_for_it(store):
    desk = Desk(store)
    with trio.move_on_after(0.001):
        await desk.write(*[publish("ann") for _ in range(2000)])

    head = (await desk.page("ann")).head
    assert head in (0, 2000)
    assert positions(await desk.publish("ann"))[0].sequence == head + 1


async def test_inline_gives_way_to_other_tasks_once_per_call(tmp_path):
    store = SqliteStore(":memory:", inline=True)
    await store.open()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write([publish("ann")])
    assert scope.cancelled_caught
    assert (await Desk(store).page("ann")).head == 0
    await store.aclose()


async def test_an_answered_command_survives_the_writer_s_sudden_death(tmp_path):
    path = tmp_path / "tocsin.db"
    # Killed after different numbers of answers, so at different points of its work.
    for answers in (1, 7, 20):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        heard = b""
        while heard.count(b"\n") < answers:
            more = await process.stdout.receive_some()
            assert more, "the writer ended by itself"
            heard += more
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        async for more in process.stdout:
            heard += more
        await process.stdout.aclose()

        answered = int(heard[: heard.rindex(b"\n")].split(b"\n")[-1])
        store = SqliteStore(path)
        await store.open()
        page = await Desk(store).page("ann", limit=100_000, bytes_max=1 << 40)
        assert answered <= page.head <= answered + 5
        assert [entry.sequence for entry in page.entries] == list(range(1, page.head + 1))
        assert page.counters.unread == page.head
        await store.aclose()
