"""Calls on connections that a task of Trio drives, and connections that it cannot use."""

from __future__ import annotations

import pytest
import trio

from tests.persistence.desk_kit import positions, publish
from tests.persistence.postgres_kit import ann_locked, end_backends, opened, wait_until_waiting
from tocsin.persistence.postgres.driving import Pause, drive, hand_back, is_silent, take_over
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.store import StoreUnavailable


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=1)
    yield desk
    await desk.store.aclose()


async def test_a_call_on_an_idle_connection_needs_no_task_of_asyncio(desk, monkeypatch):
    """Private attributes of asyncpg are used for it: a release that does without fails here."""
    await desk.publish("ann")
    monkeypatch.setattr(desk.store, "_bounded", None)

    assert positions(await desk.publish("ann"))[0].sequence == 2
    assert (await desk.page("ann")).head == 2


async def test_answers_and_requests_may_be_longer_than_a_socket_takes(desk):
    body = "x" * 400_000
    for _ in range(3):
        await desk.publish("ann", body=body)
    results = await desk.write(*(publish("ann", body=body) for _ in range(20)))

    assert positions(results[-1])[0].sequence == 23
    assert len((await desk.entries("ann"))[0].document) > len(body)


async def test_a_call_that_takes_too_long_ends_its_connection_and_no_other_call(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=1, command_timeout=0.5)
    await desk.publish("ann")
    assert isinstance(desk.store, PostgresStore)
    [before] = desk.store._pool._idle
    async with ann_locked(postgres_url):
        with pytest.raises(StoreUnavailable):
            await desk.publish("ann")
    assert before.is_closed()
    assert positions(await desk.publish("ann"))[0].sequence == 2
    await desk.store.aclose()


async def test_a_connection_that_ends_under_a_call_is_told_of(desk, postgres_url):
    await desk.publish("ann")
    async with ann_locked(postgres_url), trio.open_nursery() as nursery:

        async def refused() -> None:
            with pytest.raises(StoreUnavailable):
                await desk.publish("ann")

        nursery.start_soon(refused)
        await wait_until_waiting(postgres_url)
        await end_backends(postgres_url)
    assert positions(await desk.publish("ann"))[0].sequence == 2


async def test_a_call_that_is_cancelled_gives_its_place_in_the_pool_back(desk, postgres_url):
    await desk.publish("ann")
    async with ann_locked(postgres_url):
        with trio.move_on_after(5) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(desk.publish, "ann")
                await wait_until_waiting(postgres_url)
                scope.cancel()
    with trio.fail_after(5):
        assert positions(await desk.publish("ann"))[0].sequence == 2


async def test_a_connection_is_silent_until_the_server_ends_it(desk, postgres_url):
    await desk.publish("ann")
    [connection] = desk.store._pool._idle
    assert is_silent(connection)
    await end_backends(postgres_url)
    with trio.fail_after(5):
        while is_silent(connection):
            await trio.lowlevel.checkpoint()


async def test_a_connection_that_is_handed_back_is_read_by_asyncio_again(desk, monkeypatch):
    await desk.publish("ann")
    [connection] = desk.store._pool._idle
    hand_back(connection)
    assert not connection.is_taken_over

    assert positions(await desk.publish("ann"))[0].sequence == 2
    assert connection.is_taken_over


async def test_a_connection_behind_a_pooler_is_not_taken_over(desk):
    await desk.publish("ann")
    [connection] = desk.store._pool._idle
    hand_back(connection)
    connection.is_pooled = True
    take_over(connection)
    assert not connection.is_taken_over


async def test_a_pause_lasts_as_long_as_it_says(desk):
    await desk.publish("ann")
    [connection] = desk.store._pool._idle

    async def work() -> float:
        started = trio.current_time()
        await Pause(0.05)
        return trio.current_time() - started

    assert await drive(connection, work()) >= 0.05
