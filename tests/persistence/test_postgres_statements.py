"""The statements for Postgres: their columns, their plans and what they write."""

from __future__ import annotations

import asyncpg
import pytest
import trio
from trio_asyncio import aio_as_trio

from tests.persistence.desk_kit import Desk, sent
from tests.persistence.postgres_kit import expect_unavailable, opened, session
from tocsin.persistence import migrations
from tocsin.persistence.postgres.store import PostgresStore, _settings
from tocsin.persistence.scripts.statements import load
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeviceCursor


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=3)
    yield desk
    await desk.store.aclose()


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


# --- The rows of an acknowledgment --------------------------------------------------------------


async def test_an_acknowledgment_writes_no_index_of_devices_and_hardly_one_of_the_inbox(
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
    assert ratios["inbox"] > 0.9


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
