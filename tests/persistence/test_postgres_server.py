"""A Postgres server that stops, hangs or refuses, and what each of its errors means."""

from __future__ import annotations

import asyncpg
import pytest
import trio

from servers.postgres import execute
from tests.persistence.desk_kit import Desk, positions, publish
from tests.persistence.postgres_kit import expect_unavailable, opened
from tocsin.persistence.postgres.errors import translated
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable

# --- A server that goes away --------------------------------------------------------------------


async def test_a_server_that_is_down_at_the_start_can_be_opened_later(loop, own_postgres):
    url = own_postgres.create_database()
    await trio.to_thread.run_sync(own_postgres.stop)
    store = PostgresStore(url)
    with pytest.raises(StoreUnavailable):
        await store.open()

    await trio.to_thread.run_sync(own_postgres.start)

    await store.open()
    assert positions(await Desk(store).publish("ann"))[0].sequence == 1
    await store.aclose()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_after_a_restart_the_first_calls_succeed_and_nothing_is_lost(
    loop, own_postgres, mode
):
    desk = await opened(own_postgres.create_database(), pool_size=3)
    async with trio.open_nursery() as nursery:
        for _ in range(3):  # so that several connections grow old in the pool
            nursery.start_soon(desk.publish, "ann")

    await trio.to_thread.run_sync(own_postgres.stop, mode)
    with pytest.raises(StoreUnavailable):
        await desk.publish("ann")
    with pytest.raises(StoreUnavailable):
        await desk.store.probe()
    await trio.to_thread.run_sync(own_postgres.start)

    for expected in range(4, 8):
        assert positions(await desk.publish("ann"))[0].sequence == expected
    await desk.store.aclose()


async def test_answered_commands_are_there_after_a_crash_in_mid_load(loop, own_postgres):
    desk = await opened(own_postgres.create_database(), pool_size=4)
    answered: set[int] = set()
    down = trio.Event()

    async def write() -> None:
        while not down.is_set():
            try:
                results = await desk.write(*[publish("ann") for _ in range(3)])
            except StoreUnavailable:
                return
            answered.update(positions(result)[0].sequence for result in results)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(write)
        while len(answered) < 60:
            await trio.lowlevel.checkpoint()
        await trio.to_thread.run_sync(own_postgres.stop, "immediate")
        down.set()

    await trio.to_thread.run_sync(own_postgres.start)
    page = await desk.page("ann", limit=100_000, bytes_max=1 << 40)
    stored = [entry.sequence for entry in page.entries]
    assert stored == list(range(1, page.head + 1))
    assert answered <= set(stored)
    assert page.counters.unread == page.head
    await desk.store.aclose()


async def test_a_server_that_hangs_is_unavailable_in_time_and_recovers(loop, own_postgres):
    desk = await opened(own_postgres.create_database(), command_timeout=1.0)
    await desk.publish("ann")

    await trio.to_thread.run_sync(own_postgres.pause)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for call in (desk.page, desk.publish, desk.publish, desk.page, desk.page, desk.page):
            nursery.start_soon(expect_unavailable, call, "ann")
    assert trio.current_time() - began < 5
    # Connecting hangs as well now, and no more than a call does.
    with trio.fail_after(5):
        await expect_unavailable(desk.page, "ann")
    await trio.to_thread.run_sync(own_postgres.resume)

    page = await desk.page("ann")
    assert positions(await desk.publish("ann"))[0].sequence == page.head + 1
    await desk.store.aclose()


async def test_closing_a_store_whose_server_hangs_takes_no_longer_than_a_moment(loop, own_postgres):
    desk = await opened(own_postgres.create_database())
    await desk.publish("ann")
    await trio.to_thread.run_sync(own_postgres.pause)

    with trio.fail_after(5):
        await desk.store.aclose()

    await trio.to_thread.run_sync(own_postgres.resume)


# --- A server that refuses ----------------------------------------------------------------------


async def test_a_read_only_server_is_unavailable_for_writes_and_serves_reads(loop, postgres):
    url = postgres.create_database()
    desk = await opened(url)
    await desk.publish("ann")
    await desk.store.aclose()
    name = url.rpartition("/")[2]
    execute(url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    store = PostgresStore(url)
    assert await store.pending() == []
    assert (await Desk(store).page("ann")).head == 1
    with pytest.raises(StoreUnavailable):
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.probe()
    await store.aclose()


async def test_a_database_in_another_encoding_is_refused_in_clear_words(loop, postgres):
    url = postgres.create_database()
    execute(url, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        with pytest.raises(StoreFailed, match="encoding is LATIN1"):
            await PostgresStore(url.rpartition("/")[0] + "/latin").open()
    finally:
        execute(url, "DROP DATABASE latin WITH (FORCE)")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DiskFullError("no space left"), StoreUnavailable),
        (asyncpg.TooManyConnectionsError("sorry"), StoreUnavailable),
        (asyncpg.AdminShutdownError("going down"), StoreUnavailable),
        (asyncpg.CannotConnectNowError("starting up"), StoreUnavailable),
        (asyncpg.ReadOnlySQLTransactionError("standby"), StoreUnavailable),
        (asyncpg.QueryCanceledError("statement timeout"), StoreUnavailable),
        (asyncpg.ConnectionDoesNotExistError("cut off"), StoreUnavailable),
        (asyncpg.InvalidPasswordError("rotated"), StoreUnavailable),
        (asyncpg.DeadlockDetectedError("again and again"), StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (asyncpg.InternalClientError("state 12; another operation (2)"), StoreUnavailable),
        (asyncpg.TargetServerAttributeNotMatched("none is the primary"), StoreUnavailable),
        (asyncpg.LockNotAvailableError("somebody else's"), StoreBlocked),
        (ConnectionRefusedError(), StoreUnavailable),
        (asyncpg.UniqueViolationError("twice"), StoreFailed),
        (asyncpg.UndefinedTableError("where?"), StoreFailed),
        (asyncpg.DataError("not a number"), StoreFailed),
        (asyncpg.InterfaceError("another operation is in progress"), StoreFailed),
        (asyncpg.InternalClientError("out of its mind"), StoreFailed),
        (ZeroDivisionError(), StoreFailed),
    ],
)
def test_an_error_is_a_state_of_the_world_or_a_bug_of_ours(error, kind):
    assert type(translated(error)) is kind
