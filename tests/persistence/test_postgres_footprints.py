"""Footprints in Postgres: transactions side by side, and programs that know nothing of them."""

from __future__ import annotations

import pytest
import trio

from tests.persistence.postgres_kit import opened, session
from tocsin.persistence.store.footprints import BeginLife, Footprint, FootprintPage, ReadFootprints

START = -2


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, footprints=True)
    yield desk
    await desk.store.aclose()


async def page(desk, oldest: int = 0) -> FootprintPage:
    [found] = await desk.store.read([ReadFootprints((oldest, START), 100)])
    assert isinstance(found, FootprintPage)
    return found


async def test_a_transaction_that_commits_behind_later_ones_is_not_passed_over(desk, postgres_url):
    await desk.publish("ann")
    async with session(postgres_url) as run:
        await run("BEGIN")
        [[opened_first]] = await run("SELECT pg_current_xact_id()::text::bigint")
        await run(
            "INSERT INTO footprints (xid, part, footprint)"
            ' VALUES (pg_current_xact_id()::text::bigint, 0, \'{"heads":{"ann":2}}\')'
        )
        await desk.publish("bob")
        before = await page(desk, opened_first)
        await run("COMMIT")

    assert before.footprints == (Footprint(heads={"bob": 1}),)
    assert before.oldest <= opened_first < before.newest
    after = await page(desk, before.oldest)
    assert after.footprints[-2:] == (Footprint(heads={"ann": 2}), Footprint(heads={"bob": 1}))


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE users SET head = head + 1 WHERE user_id = 'ann'",
        (
            "INSERT INTO users (user_id, head, unread, unseen, changed_at)"
            " VALUES ('ann', 1, 1, 1, 1)"
            " ON CONFLICT (user_id) DO UPDATE SET head = users.head + 1"
        ),
        "UPDATE users SET unread = 0 WHERE user_id = 'ann'",
        "UPDATE topics SET head = head + 1 WHERE topic = '*'",
        "INSERT INTO subscriptions (user_id, topic, position) VALUES ('ann', 'news', 0)",
    ],
)
async def test_another_program_leaves_a_footprint_that_tells_nothing(desk, postgres_url, deed):
    await desk.publish("ann")
    before = await page(desk)
    async with session(postgres_url) as run:
        await run("BEGIN")
        await run(deed)
        await run(deed.replace("'news'", "'more'"))
        await run("COMMIT")

    assert (await page(desk, before.newest)).footprints == (None,)


async def test_a_change_that_no_reader_misses_leaves_no_footprint(desk, postgres_url):
    await desk.publish("ann")
    before = await page(desk)
    async with session(postgres_url) as run:
        await run("UPDATE users SET delivered = 1 WHERE user_id = 'ann'")
        await run("UPDATE subscriptions SET position = position WHERE user_id = 'ann'")

    assert (await page(desk, before.newest)).footprints == ()


async def test_ids_of_another_server_are_not_read(desk, postgres_url):
    before = await page(desk)
    async with session(postgres_url) as run:
        await run(f"INSERT INTO footprints VALUES ({1 << 60}, 0, NULL)")

    assert (await page(desk, before.newest)).footprints == ()


async def test_a_server_that_crashed_has_forgotten_its_footprints_and_its_life(loop, own_postgres):
    """One that was stopped in order has not: it gives no id out again."""
    url = own_postgres.create_database()
    desk = await opened(url, footprints=True)
    await desk.write(BeginLife("life"))
    await desk.publish("ann")
    before = await page(desk)
    assert before.footprints[-1:] == (Footprint(heads={"ann": 1}),)

    desk = await reopened(desk, url, own_postgres, "fast")
    stopped = await page(desk)
    assert (stopped.life, stopped.footprints) == ("life", before.footprints)
    assert stopped.oldest >= before.oldest

    desk = await reopened(desk, url, own_postgres, "immediate")
    crashed = await page(desk)
    assert (crashed.life, crashed.footprints) == (None, ())
    await desk.store.aclose()


async def reopened(desk, url, server, mode):
    """A desk on the same database, whose server was stopped by *mode* and started again."""
    await desk.store.aclose()
    await trio.to_thread.run_sync(server.restart, mode)
    return await opened(url, footprints=True)
