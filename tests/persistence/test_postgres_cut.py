"""Connections to Postgres that are cut off, cancelled, locked out or lost in a deadlock."""

from __future__ import annotations

import pytest
import trio

from tests.persistence.desk_kit import positions, publish
from tests.persistence.postgres_kit import (
    ann_locked,
    end_backends,
    expect_unavailable,
    opened,
    session,
    wait_until_waiting,
)
from tocsin.persistence.postgres.driving import is_silent


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=3)
    yield desk
    await desk.store.aclose()


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
    while any(is_silent(each) for each in desk.store._pool._idle):
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
        # A transaction that takes the user first and the notification then, against the order
        # of all scripts. With this setting it is not the one that is found out.
        await run("SET deadlock_timeout = '60s'")
        await run("BEGIN")
        await run("SELECT 1 FROM users WHERE user_id = 'ann' FOR UPDATE")
        nursery.start_soon(update)
        await wait_until_waiting(postgres_url)
        await run(f"SELECT 1 FROM notifications WHERE id = '{made.content.id}' FOR UPDATE")
        assert results == []
        await run("COMMIT")

    assert positions(results[0])[0].sequence == 2
