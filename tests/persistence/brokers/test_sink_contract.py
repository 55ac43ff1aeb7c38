"""What every sink does, whatever its broker."""

from __future__ import annotations

import gc

import psutil
import pytest
import trio

from tests.broker_kit import bodies, numbered, receipts, until_taken
from tocsin.persistence.sink import SinkMessage


@pytest.fixture(autouse=True)
def no_complaints(queue):
    yield
    gc.collect()
    assert queue.faults.count == 0


async def test_batches_are_there_in_order_once_they_are_carried(queue):
    async with queue.sink() as sink:
        await sink.carry(receipts(0, 25))
        await sink.carry(receipts(25, 1))
        await sink.carry(receipts(26, 100))
    assert bodies(await until_taken(queue, 126)) == numbered(126)


async def test_the_id_and_the_kind_of_a_receipt_come_along(queue):
    async with queue.sink() as sink:
        await sink.carry(receipts(0, 1))
    [taken] = await until_taken(queue, 1)
    assert dict(taken.headers) == {
        "receipt-id": "e-0",
        "kind": "delivered",
        "correlation-id": "c",
    }
    assert taken.correlation == "c"


async def test_an_answer_gets_through_however_odd_the_name_of_its_message_is(queue):
    odd = "\uffff\u0001" + "x" * 1000
    headers = {"receipt-id": "e-0", "kind": "refused", "correlation-id": odd}
    body = b'{"correlation":"\xef\xbf\xbf"}'
    message = SinkMessage(id="e-0", kind="refused", key="e-0", body=body, headers=headers)
    async with queue.sink() as sink:
        await sink.carry([message])
        await sink.carry(receipts(1, 1))
    first, second = await until_taken(queue, 2)
    assert first.headers["correlation-id"].endswith("x" * 1000)
    assert (first.headers["kind"], second.body) == ("refused", b"1")


async def test_carrying_can_be_cancelled_and_repeated_and_nothing_is_left_open(queue):
    process = psutil.Process()
    files = 0
    for number in range(30):
        with trio.move_on_after(0.002 * (number % 8)):
            async with queue.sink() as sink:
                await sink.carry(receipts(0, 3))
        if number == 10:
            files = process.num_fds()
    gc.collect()
    assert process.num_fds() <= files + 2
    async with queue.sink() as sink:
        await sink.carry(receipts(3, 1))
    seen: set[bytes] = set()
    while b"3" not in seen:
        seen |= set(bodies(await until_taken(queue, 1)))
    assert seen <= set(numbered(4))
