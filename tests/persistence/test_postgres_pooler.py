"""Behind PgBouncer: in session mode, in transaction mode with prepared statements and without."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs

from servers.pgbouncer import PgBouncer, find_pgbouncer, keeps_statements
from tests.persistence.desk_kit import Desk, positions
from tests.persistence.postgres_kit import session
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.postgres.connecting import _PROCESS, Link
from tocsin.persistence.postgres.store import PostgresStore, _settings
from tocsin.persistence.store import StoreFailed

OURS = (
    "SELECT bool_and(current_setting(name) = value) FROM (VALUES "
    + ", ".join(
        f"('{name}', '{value}')" for name, value in _settings(10).items() if not value.isdigit()
    )
    + ") AS settings (name, value) WHERE name NOT IN ('application_name')"
)


@pytest.fixture
async def loop():
    async with open_asyncio_loop() as faults:
        yield
    assert faults.count == 0


@pytest.fixture
def binary():
    return find_pgbouncer()


@pytest.fixture(params=["session", "transaction", "transaction, forgetting"])
def pooler(request, binary, postgres_url):
    mode, _, forgets = request.param.partition(", ")
    if mode == "transaction" and not forgets and not keeps_statements(binary):
        pytest.skip("this PgBouncer is older than 1.21 and keeps no prepared statements")
    with PgBouncer(postgres_url, binary, mode=mode, statements=0 if forgets else 200) as pooler:
        yield pooler


@pytest.fixture
async def desk(loop, pooler):
    store = PostgresStore(pooler.url, pool_size=2)
    await store.open()
    yield Desk(store)
    await store.aclose()


async def test_two_nodes_that_share_servers_do_their_work(desk, pooler):
    other = PostgresStore(pooler.url, pool_size=2)
    session_mode = "pool_mode = session" in (pooler.log.parent / "ini").read_text()
    if session_mode:
        # Each of its connections has a server of its own, of which there are two.
        await desk.store.aclose()
        desk.store._pool.reopen()
    await other.open()
    desks = [Desk(other)] if session_mode else [desk, Desk(other)]

    async def work(desk, user):
        for number in range(1, 21):
            assert positions(await desk.publish(user))[0].sequence == number
            assert (await desk.page(user)).head == number

    async with trio.open_nursery() as nursery:
        for place, each in enumerate(desks):
            for name in range(2):
                nursery.start_soon(work, each, f"user-{place}-{name}")
    await other.aclose()


async def test_our_settings_are_in_force_in_each_transaction_and_nowhere_else(desk, pooler):
    await desk.publish("ann")

    async def look(connection):
        await connection.execute(connection.begin)
        answer = await connection.fetchval(OURS)
        await connection.execute("COMMIT")
        return answer, connection.is_pooled

    assert await desk.store._call(look, 10) == (True, True)
    await desk.store.aclose()
    async with session(pooler.url) as run:
        [[stranger]] = await run("SELECT current_setting('plan_cache_mode')")
    assert stranger == "auto"


async def test_a_lone_transaction_takes_as_many_round_trips_as_without_a_pooler(
    loop, pooler, postgres_url
):
    """Beginning sets what a session has otherwise, and takes no longer for it."""
    counts = []
    for url in (postgres_url, pooler.url):
        store = PostgresStore(url, pool_size=1)
        await store.open()
        desk = Desk(store)
        for _ in range(2):  # by then everything has been prepared once
            await desk.publish("ann")
        connection = store._pool._idle[0]
        counts.append(await round_trips(connection, lambda desk=desk: desk.publish("ann")))
        await store.aclose()
    text = (pooler.log.parent / "ini").read_text()
    if "pool_mode = transaction" in text and "max_prepared_statements = 200" not in text:
        return  # without names each statement costs one more
    assert counts[0] == counts[1] == 2


async def round_trips(connection, work):
    """How often the driver says something to the server and waits for its answer."""
    protocol, asked = connection._protocol, [0]

    class Counting:
        def __getattr__(self, name):
            found = getattr(protocol, name)
            if name in ("query", "prepare", "bind_execute", "execute"):
                asked[0] += 1
            return found

    connection._protocol = Counting()
    try:
        await work()
    finally:
        connection._protocol = protocol
    return asked[0]


async def test_a_pooler_that_forgets_statements_is_told_of_and_done_without(
    loop, binary, postgres_url
):
    with PgBouncer(postgres_url, binary, mode="transaction", statements=0) as pooler:
        stores = [PostgresStore(pooler.url, pool_size=2) for _ in range(2)]
        with capture_logs() as lines:
            for store in stores:
                await store.open()
            async with trio.open_nursery() as nursery:
                for number, store in enumerate(stores):
                    for name in "ab":
                        nursery.start_soon(publish_often, Desk(store), f"{name}{number}")
        told = [line["event"] for line in lines]
        assert "the pooler forgets prepared statements" in told
        assert told.count("postgres is behind a pooler") == 2
        for store in stores:
            await store.aclose()


async def publish_often(desk, user):
    for number in range(1, 21):
        assert positions(await desk.publish(user))[0].sequence == number


async def test_a_pooler_that_passes_over_our_settings_is_noticed(loop, binary, postgres_url):
    passed = ", ".join(_settings(10))
    more = f"ignore_startup_parameters = {passed}"
    with PgBouncer(postgres_url, binary, mode="session", more=more) as pooler:
        store = PostgresStore(pooler.url)
        await store.open()
        connection = store._pool._idle[0]
        assert connection.is_pooled
        assert "plan_cache_mode" in connection.begin
        await store.aclose()


async def test_settings_of_the_operator_are_kept_behind_a_pooler(loop, pooler, postgres_url):
    async with session(postgres_url) as run:
        await run("CREATE SCHEMA bell")
    store = PostgresStore(pooler.url, link=Link({"search_path": "bell, public"}))
    await store.open()
    await Desk(store).publish("ann")
    async with session(postgres_url) as run:
        assert [[row[0]] for row in await run("SELECT user_id FROM bell.users")] == [["ann"]]
    await store.aclose()


async def test_an_option_that_the_pooler_refuses_is_named(loop, binary, postgres_url):
    with PgBouncer(postgres_url, binary, mode="transaction") as pooler:
        store = PostgresStore(pooler.url, link=Link({"options": "endpoint=ep-1"}))
        with pytest.raises(StoreFailed, match="The pooler refuses what `database` says"):
            await store.open()
        await store.aclose()


async def test_names_of_statements_are_unlike_those_of_other_processes(loop, postgres_url):
    """A method of asyncpg's own is replaced for it: a release that does without fails here."""
    store = PostgresStore(postgres_url)
    await store.open()

    async def look(connection):
        return await connection.fetch("SELECT name FROM pg_prepared_statements")

    names = [row[0] for row in await store._call(look, 10)]
    assert names
    assert all(name.startswith(f"tocsin_{_PROCESS}_stmt_") for name in names)
    await store.aclose()
