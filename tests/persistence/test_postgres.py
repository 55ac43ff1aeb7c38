"""What is Postgres's own: a server that stops, hangs, refuses, and other nodes in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
import trio
from trio_asyncio import aio_as_trio, trio_as_aio

from servers.postgres import execute
from tests.persistence.desk import START_OF_TIME, Desk, positions, publish, sent, told
from tocsin.persistence import migrations
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.postgres.errors import translated
from tocsin.persistence.postgres.store import PostgresStore, _settings
from tocsin.persistence.scripts.statements import Statement, load
from tocsin.persistence.store import (
    Counters,
    DeviceCursor,
    Purge,
    Purged,
    Record,
    StoreBlocked,
    StoreFailed,
    StoreUnavailable,
)

OURS = "datname = current_database() AND application_name = 'tocsin'"


@pytest.fixture
async def loop():
    async with open_asyncio_loop():
        yield


async def opened(url: str, **options: Any) -> Desk:
    store = PostgresStore(url, **options)
    await store.open()
    return Desk(store)


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=3)
    yield desk
    await desk.store.aclose()


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


async def test_what_was_answered_is_there_after_a_crash_in_mid_load(loop, own_postgres):
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


async def expect_unavailable(call, *args: object) -> None:
    with pytest.raises(StoreUnavailable):
        await call(*args)


# --- Another node that brings the same users up to date -------------------------------------------


async def test_what_another_node_brings_while_we_wait_is_not_brought_again(desk, postgres_url):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    brought: list[Any] = []

    async def bring() -> None:
        brought.append(await desk.bring("ann"))

    async with session(postgres_url) as run, trio.open_nursery() as nursery:
        await run("BEGIN")
        await run("UPDATE users SET head = 1, unread = 1, unseen = 1 WHERE user_id = 'ann'")
        await run("UPDATE subscriptions SET position = 1 WHERE topic = 'news'")
        await run(
            "INSERT INTO inbox (notification_id, user_id, sequence, created_sequence) "
            f"VALUES ('{made.content.id}', 'ann', 1, 1)"
        )
        nursery.start_soon(bring)
        await wait_until_waiting(postgres_url)
        await run("COMMIT")

    assert brought[0].fan_outs == ()
    page = await desk.page("ann")
    assert (page.head, page.counters.unread) == (1, 1)


async def test_what_is_published_while_we_wait_is_left_for_the_next_time(desk, postgres_url):
    await desk.subscribe("news", "ann")
    first = await desk.publish(topic="news")
    brought: list[Any] = []

    async def bring() -> None:
        brought.append(await desk.bring("ann"))

    async with trio.open_nursery() as nursery, ann_locked(postgres_url):
        nursery.start_soon(bring)
        await wait_until_waiting(postgres_url)
        second = await desk.publish(topic="news")

    assert told(brought[0].fan_outs) == [(first.content.id, "created", {"ann": 1})]
    again = await desk.bring("ann")
    assert told(again.fan_outs) == [(second.content.id, "created", {"ann": 2})]


# --- Connections that are cut off ---------------------------------------------------------------


async def test_a_backend_that_is_ended_in_mid_transaction_leaves_nothing(desk, postgres_url):
    await desk.publish("ann")
    async with ann_locked(postgres_url), trio.open_nursery() as nursery:
        nursery.start_soon(expect_unavailable, desk.write, publish("bob"), publish("ann"))
        await wait_until_waiting(postgres_url)
        await end_backends(postgres_url, "wait_event_type = 'Lock'")

    assert (await desk.page("bob")).head == 0
    assert positions(await desk.publish("bob", "ann"))[1].sequence == 2


async def test_idle_connections_that_were_cut_off_cost_no_call(desk, postgres_url):
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(desk.publish, "ann")

    await end_backends(postgres_url)
    # The ends of the connections arrive in their own time.
    while any(not each.is_closed() for each in desk.store._pool._idle):
        await trio.lowlevel.checkpoint()

    for expected in (4, 5, 6):
        assert positions(await desk.publish("ann"))[0].sequence == expected


async def test_a_call_that_is_cancelled_leaves_no_lock_behind(desk, postgres_url):
    await desk.publish("ann")
    async with ann_locked(postgres_url):
        with trio.move_on_after(5) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(desk.publish, "bob", "ann")
                await wait_until_waiting(postgres_url)
                scope.cancel()
    assert scope.cancelled_caught

    with trio.fail_after(5):
        assert positions(await desk.publish("ann"))[0].sequence == 2
    async with trio.open_nursery() as nursery:  # no room in the pool was lost either
        for _ in range(6):
            nursery.start_soon(desk.publish, "ann")


async def test_a_lock_that_nobody_gives_back_is_unavailable_in_time(loop, postgres_url):
    desk = await opened(postgres_url, command_timeout=0.5)
    await desk.publish("ann")
    async with ann_locked(postgres_url):
        with trio.fail_after(3):
            await expect_unavailable(desk.publish, "ann")
        assert positions(await desk.publish("bob"))[0].sequence == 1
    await desk.store.aclose()


async def test_a_lost_deadlock_is_tried_again(desk, postgres_url):
    made = await desk.publish("ann")
    results = []

    async def update() -> None:
        results.append(await desk.update(made.content.id, title="New"))

    async with session(postgres_url) as run, trio.open_nursery() as nursery:
        # Somebody who takes the user first and the notification then, against the order of all
        # scripts. With this setting it is not he who is found out.
        await run("SET deadlock_timeout = '60s'")
        await run("BEGIN")
        await run("SELECT 1 FROM users WHERE user_id = 'ann' FOR UPDATE")
        nursery.start_soon(update)
        await wait_until_waiting(postgres_url)
        await run(f"SELECT 1 FROM notifications WHERE id = '{made.content.id}' FOR UPDATE")
        assert results == []
        await run("COMMIT")

    assert positions(results[0])[0].sequence == 2


# --- Plans --------------------------------------------------------------------------------------


async def test_statements_return_the_columns_that_the_headings_name(desk, postgres_url):
    async def columns() -> dict[str, tuple[str, ...]]:
        connection = await asyncpg.connect(postgres_url)
        try:
            found = {}
            for name, sql in load("postgres").items():
                prepared = await connection.prepare(sql.text)
                found[name] = tuple(each.name for each in prepared.get_attributes())
            return found
        finally:
            await connection.close()

    assert await aio_as_trio(columns)() == {
        name: sql.columns for name, sql in load("postgres").items()
    }


async def test_every_statement_finds_its_rows_through_an_index(desk, postgres_url):
    """While the tables are empty, which is when a planner left to itself would choose to scan."""
    plans = {}
    async with session(postgres_url) as run:
        for name, value in _settings(10).items():
            await run(f"SET {name} = '{value}'")
        for name, sql in load("postgres").items():
            await run(f"PREPARE statement AS {sql.text}")
            nothing = ", ".join(["NULL"] * len(sql.parameters))
            rows = await run(f"EXPLAIN EXECUTE statement{nothing and f'({nothing})'}")
            plans[name] = "\n".join(row[0] for row in rows)
            await run("DEALLOCATE statement")

    # A "HashAggregate" sums up what a statement was given.
    other = ("Seq Scan", "Bitmap", "Hash ", "Merge", "Materialize")
    assert [name for name, plan in plans.items() if any(word in plan for word in other)] == [
        "keys_list"
    ]


# --- What an acknowledgment writes --------------------------------------------------------------


async def test_an_acknowledgment_writes_no_index_of_devices_and_few_of_the_inbox(
    loop, postgres_url
):
    """Rows change within their page (HOT): no index is told, and nothing has to be vacuumed."""
    desk = await opened(postgres_url)
    users = [f"user-{number}" for number in range(100)]
    for user in users:
        await desk.attach(user, "phone")
    for at in range(1, 21):
        made = await desk.publish(*users)
        for some in (users[:50], users[50:]):
            lines = [sent(user, "phone", made.content.id, at, acknowledged_at=at) for user in some]
            cursors = tuple([DeviceCursor(user, "phone", at, desk.now_ms + at) for user in some])
            await desk.write(*lines, Record((), cursors))
    # A session's counts are there when it has ended.
    await desk.store.aclose()

    ratios: dict[str, float] = {}
    with trio.fail_after(10):
        while len(ratios) < 2:
            ratios = await hot_ratios(postgres_url, updates_min=2000)
    assert ratios["devices"] > 0.9
    assert ratios["inbox"] > 0.4


async def test_the_migration_for_that_keeps_nobody_waiting_behind_a_table_that_is_in_use(
    loop, postgres_url, monkeypatch
):
    older = migrations.known("postgres")
    older = older[: [each.number for each in older].index(6)]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", lambda dialect: older)
        old = PostgresStore(postgres_url)
        await old.open()
    newer = PostgresStore(postgres_url)

    async with session(postgres_url) as run:
        await run("BEGIN")
        await run("SELECT count(*) FROM inbox")
        with trio.fail_after(5):
            await expect_unavailable(newer.open)
        assert 6 in [each.number for each in await newer.pending()]
        await run("COMMIT")

    await newer.open()
    await Desk(newer).publish("ann")
    assert len((await Desk(newer).page("ann")).entries) == 1
    await old.aclose()
    await newer.aclose()


async def hot_ratios(url: str, *, updates_min: int) -> dict[str, float]:
    async with session(url) as run:
        rows = await run(
            "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE relname IN ('devices', 'inbox')"
        )
    return {name: hot / updates for name, updates, hot in rows if updates >= updates_min}


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


# --- Somebody else ------------------------------------------------------------------------------


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """A connection of somebody else, as a function that runs a statement."""
    connection = await aio_as_trio(asyncpg.connect)(url)
    try:
        yield aio_as_trio(connection.fetch)
    finally:
        connection.terminate()


@asynccontextmanager
async def ann_locked(url: str) -> AsyncIterator[None]:
    """Nobody can change the log of `ann` meanwhile."""
    async with session(url) as run:
        await run("BEGIN")
        await run("SELECT 1 FROM users WHERE user_id = 'ann' FOR UPDATE")
        yield


async def wait_until_waiting(url: str) -> None:
    """Return when a statement of the store waits for a lock."""
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
    async with session(url) as run:
        with trio.fail_after(10):
            while not await run(waiting):
                pass


async def end_backends(url: str, condition: str = "true") -> None:
    """End the store's connections, those for which *condition* holds, from the server's side."""
    async with session(url) as run:
        ended = await run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS} AND {condition}"
        )
        assert ended


def before_statement(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, name: str, work: Callable[[], Awaitable[Any]]
) -> None:
    """Let something happen just before *desk*'s store runs the statement *name*."""
    perform = PostgresStore._perform

    async def after_work(store: PostgresStore, connection: Any, statement: Statement) -> Any:
        if store is desk.store and statement.name == name:
            await trio_as_aio(work)()
        return await perform(store, connection, statement)

    monkeypatch.setattr(PostgresStore, "_perform", after_work)


async def test_what_is_purged_while_a_page_is_being_read_is_not_passed_over_in_silence(
    desk, postgres_url, monkeypatch
):
    made = await desk.publish("ann")
    await desk.publish("ann")
    await desk.mark("ann", "archived", made)
    other = await opened(postgres_url)
    purge = Purge(0, 0, archived_before=START_OF_TIME + 1)
    before_statement(monkeypatch, desk, "pages", lambda: other.one(purge, Purged))

    page = await desk.page("ann")

    assert ([entry.sequence for entry in page.entries], page.horizon) == ([2], 3)
    await other.store.aclose()


async def test_what_is_published_while_a_page_is_being_read_is_counted_if_it_is_in_the_page(
    desk, postgres_url, monkeypatch
):
    await desk.publish("ann")
    other = await opened(postgres_url)
    before_statement(monkeypatch, desk, "pages", lambda: other.publish("ann"))

    page = await desk.page("ann")

    assert ([entry.sequence for entry in page.entries], page.head) == ([1, 2], 2)
    assert page.counters == Counters(2, 2)
    await other.store.aclose()


async def test_what_is_published_while_an_inbox_is_being_read_is_counted_if_it_is_listed(
    desk, postgres_url, monkeypatch
):
    await desk.publish("ann")
    other = await opened(postgres_url)
    before_statement(monkeypatch, desk, "inbox_page", lambda: other.publish("ann"))

    inbox = await desk.inbox("ann")

    assert ([item.created_sequence for item in inbox.items], inbox.head) == ([2, 1], 2)
    assert inbox.counters == Counters(2, 2)
    await other.store.aclose()


async def test_who_comes_back_to_a_topic_hears_of_what_happened_in_that_moment(
    desk, postgres_url, monkeypatch
):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    await desk.unsubscribe("news", "ann")
    other = await opened(postgres_url)
    update = partial(other.update, made.content.id, title="New")
    before_statement(monkeypatch, desk, "subscriptions_known", update)

    assert (await desk.subscribe("news", "ann")).heads == {"ann": 2}
    await other.store.aclose()
