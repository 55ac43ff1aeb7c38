"""What a sink says when its broker is away or refuses, and what only some brokers have."""

from __future__ import annotations

import pytest
import trio

from servers.proxy import Proxy
from tests.broker_kit import (
    QUEUES,
    WAIT,
    KafkaTopic,
    RabbitQueue,
    RedisStream,
    SqsQueue,
    bodies,
    numbered,
    receipts,
    until_taken,
)
from tocsin.persistence.brokers import rabbitmq_sink
from tocsin.persistence.sink import SinkMessage
from tocsin.persistence.source import SourceAway, SourceRefused


@pytest.mark.parametrize("kind", [kind for kind in QUEUES if kind != "kafka"])
async def test_a_cut_connection_is_told_and_what_was_carried_is_there(kind, request):
    server_name, queue_of = QUEUES[kind]
    server = request.getfixturevalue(server_name)
    with Proxy(server.url) as proxy:
        queue = queue_of(server, proxy.url)
        async with queue.sink() as sink:
            await sink.carry(receipts(0, 3))
            proxy.cut()
            with trio.fail_after(60), pytest.raises(SourceAway):
                await sink.carry(receipts(3, 3))
        with pytest.raises(SourceAway):
            async with queue.sink():
                pass
        proxy.heal()
        async with queue.sink() as sink:
            await sink.carry(receipts(3, 3))
        assert set(bodies(await until_taken(queue, 6))) == set(numbered(6))


async def test_a_broker_that_does_not_confirm_is_away(broker_rabbitmq):
    with Proxy(broker_rabbitmq.url) as proxy:
        queue = RabbitQueue(broker_rabbitmq, proxy.url)
        async with queue.sink() as sink:
            proxy.stall()
            with trio.fail_after(60), pytest.raises(SourceAway):
                await sink.carry(receipts(0, 3))
            proxy.heal()


# --- What an operator has to mend ----------------------------------------------------------------


async def refused(queue) -> str:
    """The text with which carrying to *queue* is refused."""
    with trio.fail_after(WAIT), pytest.raises(SourceRefused) as told:
        async with queue.sink() as sink:
            await sink.carry(receipts(0, 3))
    return str(told.value)


async def test_a_message_that_no_queue_takes_is_refused(broker_rabbitmq):
    assert "no queue takes" in await refused(RabbitQueue(broker_rabbitmq, make=False))


async def test_an_exchange_that_is_missing_is_refused(broker_rabbitmq):
    queue = RabbitQueue(broker_rabbitmq, make=False)
    place = rabbitmq_sink.ExchangePlace(
        url=queue.place.url, exchange="nowhere", routing_key="receipts.{kind}"
    )
    with pytest.raises(SourceRefused, match="NOT_FOUND"):
        async with rabbitmq_sink.connect_sink(place, queue.faults):
            pass


async def test_the_kind_of_a_receipt_is_part_of_its_routing_key(broker_rabbitmq):
    queue = RabbitQueue(broker_rabbitmq)
    prefix, name = queue.place.queue, f"{queue.place.queue}-topic"

    async def bind(channel) -> None:
        await channel.exchange_declare(name, exchange_type="topic")
        await channel.queue_bind(prefix, name, routing_key="receipts.read")

    broker_rabbitmq.work(bind)
    place = rabbitmq_sink.ExchangePlace(
        url=queue.place.url, exchange=name, routing_key="receipts.{kind}"
    )
    async with rabbitmq_sink.connect_sink(place, queue.faults) as sink:
        await sink.carry([SinkMessage(id="e-1", kind="read", key="ada", body=b"x")])
        with pytest.raises(SourceRefused, match=r"receipts\.delivered"):
            await sink.carry(receipts(0, 1))
    assert bodies(await until_taken(queue, 1)) == [b"x"]


async def test_a_topic_that_is_missing_is_refused(broker_kafka):
    assert "there is no topic" in await refused(KafkaTopic(broker_kafka, make=False))


async def test_a_queue_of_sqs_that_is_missing_is_refused(broker_sqs):
    assert "QueueDoesNotExist" in await refused(SqsQueue(broker_sqs, make=False))


async def test_a_key_that_is_no_stream_is_refused(broker_redis):
    stream = RedisStream(broker_redis)
    broker_redis.execute("SET", stream.place.stream, "x")
    assert "is no stream" in await refused(stream)


async def test_a_fifo_queue_has_once_what_is_carried_twice(broker_sqs):
    queue = SqsQueue(broker_sqs)
    async with queue.sink() as sink:
        await sink.carry(receipts(0, 3))
        await sink.carry(receipts(0, 4))
    assert bodies(await until_taken(queue, 4)) == numbered(4)
