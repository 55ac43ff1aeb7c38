"""The contract of a source, which the adapter of each broker keeps."""

from __future__ import annotations

import gc

import psutil
import pytest
import trio

from tests.broker_kit import (
    WAIT,
    bodies,
    is_elsewhere,
    numbered,
    take,
    until_taken,
)


@pytest.fixture(autouse=True)
def no_complaints(queue):
    yield
    gc.collect()
    assert queue.faults.count == 0


async def test_messages_come_in_order_with_a_key_and_a_time(queue):
    queue.put(*numbered(20))
    async with queue.connect() as source:
        taken = await take(source, 20)
    assert bodies(taken) == numbered(20)
    assert len({each.key for each in taken}) == 20
    assert all(each.at for each in taken)


async def test_headers_come_along_by_their_names_in_lower_case(queue):
    queue.put(b"x", headers={"Idempotency-Key": "k1", "correlation-id": "c1"})
    async with queue.connect() as source:
        [taken] = await take(source, 1)
    assert {name.lower(): text for name, text in taken.headers.items()} == {
        "idempotency-key": "k1",
        "correlation-id": "c1",
    }
    assert taken.correlation == "c1"


async def test_an_empty_queue_gives_nothing_after_the_wait(queue):
    async with queue.connect() as source:
        with trio.fail_after(WAIT):
            assert not await source.take(10, 0.2)


async def test_messages_that_are_not_done_come_again_with_the_same_keys(queue):
    queue.put(*numbered(5))
    async with queue.connect() as source:
        first = await take(source, 5, done=False)
    async with queue.connect("b") as source:
        again = await take(source, 5)
    assert bodies(again) == numbered(5)
    assert [each.key for each in again] == [each.key for each in first]


async def test_messages_that_are_done_do_not_come_again(queue):
    queue.put(*numbered(5))
    async with queue.connect() as source:
        await take(source, 5)
    queue.put(b"last")
    async with queue.connect() as source:
        assert bodies(await take(source, 1)) == [b"last"]


async def test_a_batch_has_no_more_messages_than_asked_for(queue):
    queue.put(*numbered(10))
    async with queue.connect() as source:
        with trio.fail_after(WAIT):
            while not (batch := await source.take(3, 0.5)):
                pass
        assert len(batch) <= 3


async def test_holding_keeps_what_is_in_hand(queue):
    queue.put(*numbered(3))
    async with queue.connect() as source:
        taken = await take(source, 3, done=False)
        await source.hold(())
        await source.hold(taken)
        await source.done(taken)
        assert not await source.take(10, 0.2)
        assert source.alive() is None


async def test_the_broker_counts_what_waits(queue):
    queue.put(*numbered(7))
    async with queue.connect() as source:
        await take(source, 3)
        with trio.fail_after(WAIT):
            while await source.lag() != 4:  # noqa: ASYNC110
                await trio.sleep(0.05)  # waits for: the broker's count, which may be late


async def test_one_node_at_a_time_takes_from_an_ordered_source(queue):
    if not queue.is_ordered:
        pytest.skip("this source is not ordered")
    queue.put(*numbered(3))
    async with queue.connect("a") as source:
        await take(source, 1)
        assert await is_elsewhere(queue, "b")
    assert bodies(await until_taken(queue, 2, "b")) == [b"1", b"2"]


async def test_a_message_that_cannot_be_read_is_skipped_only_where_there_are_such(queue):
    async with queue.connect() as source:
        with pytest.raises(ValueError, match=r"."):
            await source.skip("no place of this queue")


async def test_taking_can_be_cancelled_a_hundred_times_and_nothing_is_left(queue):
    queue.put(*numbered(50))
    taken: list[bytes] = []
    process = psutil.Process()
    files = 0
    for number in range(100):
        with trio.move_on_after(0.002 * (number % 8)):
            async with queue.connect() as source:
                batch = await source.take(2, 0.5)
                taken += bodies(batch)
                await source.done(batch)
        if number == 20:
            files = process.num_fds()
    gc.collect()
    assert process.num_fds() <= files + 2
    while len(set(taken)) < 50:
        taken += bodies(await until_taken(queue, 1))
    assert sorted(set(map(int, taken))) == list(range(50))
