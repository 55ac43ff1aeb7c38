"""Every source, and every sink, survives a broker that is killed, cut off or hangs; a source also
one that wants another password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from servers.proxy import Proxy
from servers.redis import Redis
from tests.broker_kit import (
    QUEUES,
    WAIT,
    KafkaTopic,
    Queue,
    RabbitQueue,
    RedisStream,
    SqsQueue,
    bodies,
    numbered,
    receipts,
    take,
    until_taken,
)
from tests.broker_servers_kit import make_elasticmq, make_kafka, make_rabbitmq, running
from tocsin.persistence.brokers import kafka
from tocsin.persistence.source import Source, SourceAway, SourceRefused

SERVERS: dict[str, Callable[[], Any]] = {
    "redis": partial(Redis, durable=True),
    "rabbitmq": make_rabbitmq,
    "kafka": make_kafka,
    "sqs": make_elasticmq,
}


DURABLE = [kind for kind in QUEUES if kind != "sqs"]
"""Kinds whose servers keep messages over a kill; ElasticMQ does not (`servers.elasticmq`)."""
BY_PROXY = [kind for kind in QUEUES if kind != "kafka"]
"""Kinds that can be reached through a proxy; Kafka's brokers themselves say where they are."""


@pytest.fixture(scope="module", params=[*QUEUES])
def harmed(request):
    """A server that tests may harm, and the kind of queue on it."""
    for server in running(SERVERS[request.param]()):
        yield server, QUEUES[request.param][1]


@pytest.mark.parametrize("harmed", DURABLE, indirect=True)
async def test_messages_that_are_not_done_survive_a_killed_broker(harmed):
    server, kind = harmed
    queue = kind(server)
    queue.put(*numbered(10))
    async with queue.connect() as source:
        await take(source, 4)
        await take(source, 3, done=False)
        await trio.to_thread.run_sync(server.stop, "immediate")
        with pytest.raises(SourceAway):
            await hear_end(source)
    await trio.to_thread.run_sync(server.start)
    # Messages that are done may come again: the word may have been on its way at the kill.
    seen: set[int] = set()
    while not seen >= {4, 5, 6, 7, 8, 9}:
        seen |= set(map(int, bodies(await until_taken(queue, 1))))


@pytest.mark.parametrize("harmed", DURABLE, indirect=True)
async def test_receipts_confirmed_to_a_sink_survive_a_killed_broker(harmed):
    server, kind = harmed
    queue = kind(server)
    async with queue.sink() as sink:
        await sink.carry(receipts(0, 3))
        await trio.to_thread.run_sync(server.stop, "immediate")
        with trio.fail_after(60), pytest.raises(SourceAway):
            await sink.carry(receipts(3, 3))
    await trio.to_thread.run_sync(server.start)
    async with queue.sink() as sink:
        await sink.carry(receipts(3, 3))
    seen: set[int] = set()
    while seen != set(range(6)):
        seen |= set(map(int, bodies(await until_taken(queue, 1))))


@pytest.mark.parametrize("harmed", BY_PROXY, indirect=True)
async def test_a_cut_connection_is_noticed_and_the_batch_comes_again(harmed):
    server, kind = harmed
    with Proxy(server.url) as proxy:
        queue = kind(server, proxy.url)
        if isinstance(queue, SqsQueue):
            # What is given back over a connection that is cut comes again after this time only.
            queue.place = replace(queue.place, visibility=6)
        queue.put(*numbered(5))
        async with queue.connect() as source:
            await take(source, 2)
            await take(source, 1, done=False)
            proxy.cut()
            with pytest.raises(SourceAway):
                await hear_end(source)
        with pytest.raises(SourceAway):
            async with queue.connect():
                pass
        proxy.heal()
        assert bodies(await until_taken(queue, 3)) == [b"2", b"3", b"4"]


@pytest.mark.parametrize("harmed", BY_PROXY, indirect=True)
async def test_a_broker_that_hangs_is_noticed(harmed):
    server, kind = harmed
    with Proxy(server.url) as proxy:
        queue = kind(server, proxy.url)
        queue.put(*numbered(1))
        async with queue.connect() as source:
            await take(source, 1)
            proxy.stall()
            with pytest.raises(SourceAway):
                await hear_end(source)
            proxy.heal()


# Each client waits for as long as it does for an answer, and the group for who has left it.
@pytest.mark.faults
@pytest.mark.parametrize("harmed", [*QUEUES], indirect=True)
async def test_a_broker_that_is_frozen_is_noticed_and_gives_the_rest_when_it_goes_on(harmed):
    server, kind = harmed
    queue = kind(server)
    if isinstance(queue, SqsQueue):
        queue.place = replace(queue.place, visibility=6)
    queue.put(*numbered(10))
    async with queue.connect() as source:
        await take(source, 4)
        await take(source, 3, done=False)
        server.pause()
        try:
            with pytest.raises(SourceAway):
                await hear_end(source)
        finally:
            server.resume()
    # Messages that are done may come again: the word may have been on its way.
    seen: set[int] = set()
    while not seen >= {4, 5, 6, 7, 8, 9}:
        seen |= set(map(int, bodies(await until_taken(queue, 1))))


# --- Faults of some brokers only -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
async def test_a_wrong_password_is_a_matter_for_an_operator(kind, request):
    server_name, queue_of = QUEUES[kind]
    server = request.getfixturevalue(server_name)
    queue = queue_of(server)
    wrong = server.url.replace("guest:guest", "guest:wrong").replace("//127", "//:wrong@127")
    told = await told_by(queue_of(server, wrong))
    assert ":wrong" not in told
    queue.put(b"x")
    assert bodies(await until_taken(queue, 1)) == [b"x"]


async def test_a_missing_queue_is_a_matter_for_an_operator(broker_rabbitmq):
    told = await told_by(RabbitQueue(broker_rabbitmq, make=False))
    assert "NOT_FOUND" in told


async def test_a_queue_that_is_deleted_under_its_consumer_is_noticed(broker_rabbitmq):
    queue = RabbitQueue(broker_rabbitmq)
    name = queue.place.queue
    async with queue.connect() as source:
        await source.take(1, 0.1)
        assert source.alive() is None
        broker_rabbitmq.work(lambda channel: channel.queue_delete(name))
        with trio.fail_after(WAIT):
            while source.alive() is None:  # noqa: ASYNC110
                await trio.sleep(0.02)  # waits for: the broker's word, which comes by itself


async def test_a_stream_that_is_emptied_is_heard_again(broker_redis):
    stream = RedisStream(broker_redis)
    stream.put(b"0")
    assert bodies(await until_taken(stream, 1)) == [b"0"]
    broker_redis.execute("DEL", stream.place.stream)
    stream.put(b"1")
    assert bodies(await until_taken(stream, 1)) == [b"1"]


async def test_a_key_that_is_no_stream_is_a_matter_for_an_operator(broker_redis):
    stream = RedisStream(broker_redis)
    broker_redis.execute("SET", stream.place.stream, "x")
    assert "is no stream" in await told_by(stream)


async def test_competing_nodes_share_a_stream(broker_redis):
    stream = RedisStream(broker_redis, ordered=False)
    stream.put(*numbered(40))
    async with stream.connect("a") as ann, stream.connect("b") as ben:
        first, second = await take(ann, 20), await take(ben, 20)
        await ann.hold(first)
    assert sorted(map(int, bodies([*first, *second]))) == list(range(40))


async def test_entries_go_once_they_are_done_if_that_is_asked_for(broker_redis):
    stream = RedisStream(broker_redis, delete=True)
    stream.put(*numbered(3))
    await until_taken(stream, 3)
    assert broker_redis.execute("XLEN", stream.place.stream) == 0


async def test_a_missing_topic_is_a_matter_for_an_operator(broker_kafka):
    assert "there is no topic" in await told_by(KafkaTopic(broker_kafka, make=False))


async def test_a_topic_that_is_deleted_under_its_group_is_noticed(broker_kafka):
    topic = KafkaTopic(broker_kafka)
    topic.put(b"x")
    async with topic.connect() as source:
        await take(source, 1)
        broker_kafka.delete_topic(topic.place.topics[0])
        with pytest.raises(SourceRefused, match="there is no topic"):
            await hear_end(source)


async def test_a_topic_that_is_made_again_has_other_keys(broker_kafka):
    topic = KafkaTopic(broker_kafka)
    topic.put(b"x")
    [first] = await until_taken(topic, 1)
    broker_kafka.delete_topic(topic.place.topics[0])
    broker_kafka.create_topic(topic.place.topics[0])
    again = replace(topic.place, group="another")
    topic.put(b"x")
    async with kafka.connect(again, topic.faults) as source:
        [second] = await take(source, 1)
    assert (second.place, second.body) == (first.place, first.body)
    assert second.key != first.key


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_packed_records_are_read(broker_kafka, codec):
    topic = KafkaTopic(broker_kafka)
    topic.put(b"x" * 1000, codec=codec)
    assert bodies(await until_taken(topic, 1)) == [b"x" * 1000]


async def test_a_record_is_passed_over_if_an_operator_says_so(broker_kafka):
    topic = KafkaTopic(broker_kafka)
    topic.put(*numbered(3))
    name = topic.place.topics[0]
    async with topic.connect() as source:
        assert bodies(await take(source, 1)) == [b"0"]
        await source.skip(f"{name}/0/1")
        assert bodies(await take(source, 1)) == [b"2"]


async def test_two_members_share_partitions_and_one_takes_over_from_the_other(broker_kafka):
    topic = KafkaTopic(broker_kafka, partitions=2)
    shares: dict[str, list[bytes]] = {"ann": [], "ben": []}

    def taken() -> set[bytes]:
        return {body for share in shares.values() for body in share}

    async with trio.open_nursery() as nursery:
        scopes = {name: trio.CancelScope() for name in shares}
        for name, share in shares.items():
            nursery.start_soon(belong, topic, scopes[name], share)
        topic.put(*numbered(50))
        await until(lambda: len(taken()) == 50)
        scopes["ann"].cancel()
        topic.put(*numbered(60))
        await until(lambda: len(taken()) == 60)
        scopes["ben"].cancel()


async def belong(topic: KafkaTopic, scope: trio.CancelScope, share: list[bytes]) -> None:
    """Take from *topic* in a task of its own, as a connector does, until *scope* is cancelled."""
    with scope:
        while True:
            try:
                async with topic.connect() as source:
                    while True:
                        batch = await source.take(5, 0.2)
                        await source.done(batch)
                        share += bodies(batch)
            except SourceAway:
                # The group has moved on; what was not done comes again.
                continue


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.05)  # waits for: a condition that sends no signal


async def told_by(queue: Queue) -> str:
    """The text with which opening *queue* is refused."""
    with pytest.raises(SourceRefused) as refused:
        async with queue.connect():
            pass
    return str(refused.value)


async def hear_end(source: Source) -> None:
    """Wait until *source* says that it has ended."""
    with trio.fail_after(60):
        while True:
            await source.take(1, 0.2)
            await source.hold(())
            await source.lag()
