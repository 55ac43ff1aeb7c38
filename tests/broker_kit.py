"""A queue of each kind of broker, in the words of the tests that hold for all of them."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

import pamqp.commands
import trio

from servers.elasticmq import REGION, ElasticMQ
from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from tocsin.persistence.brokers import (
    kafka,
    kafka_sink,
    rabbitmq,
    rabbitmq_sink,
    redis_sink,
    redis_stream,
    sqs,
    sqs_sink,
)
from tocsin.persistence.brokers.aws_signature import AwsCredentials
from tocsin.persistence.brokers.kafka_calls import KafkaBrokers
from tocsin.persistence.brokers.memory import MemoryQueue
from tocsin.persistence.brokers.sqs_client import SqsPlace
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import BrokerMessage, Source, SourceAway, SourceElsewhere

WAIT = 20.0
"""Seconds after which a test gives up on what should come at once."""
_NAMES = itertools.count(1)


class Queue(Protocol):
    """A queue that a test puts messages into, and takes from over connections of its own. Receipts
    are carried to it by a `sink`.
    """

    faults: LoopFaults
    is_ordered: bool

    @property
    def name(self) -> str: ...
    def put(self, *bodies: bytes, headers: Mapping[str, str] | None = None) -> None: ...
    def table(self) -> dict[str, object]: ...
    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]: ...
    def sink_table(self) -> dict[str, object]: ...
    def sink(self) -> AbstractAsyncContextManager[BrokerSink]: ...


class InMemory:
    is_ordered = True

    def __init__(self) -> None:
        self.faults = LoopFaults()
        self.queue = MemoryQueue()

    @property
    def name(self) -> str:
        return self.queue.name

    def put(self, *bodies: bytes, headers: Mapping[str, str] | None = None) -> None:
        for body in bodies:
            self.queue.put(body, headers, at=1)

    def table(self) -> dict[str, object]:
        raise NotImplementedError("settings have no table of this kind")

    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]:
        return self.queue.connect()

    def sink_table(self) -> dict[str, object]:
        raise NotImplementedError("settings have no table of this kind")

    def sink(self) -> AbstractAsyncContextManager[BrokerSink]:
        return self.queue.connect_sink()


class RedisStream:
    """A stream of its own on *server*, reached at *url*."""

    def __init__(
        self,
        server: Redis,
        url: str | None = None,
        *,
        ordered: bool = True,
        delete: bool = False,
    ) -> None:
        self.server = server
        self.is_ordered = ordered
        self.faults = LoopFaults()
        self.place = redis_stream.StreamPlace(
            url=url or server.url,
            stream=f"stream-{next(_NAMES)}",
            group="tocsin",
            ordered=ordered,
            delete=delete,
        )

    @property
    def name(self) -> str:
        return self.place.stream

    def put(self, *bodies: bytes, headers: Mapping[str, str] | None = None) -> None:
        flat = [text for pair in (headers or {}).items() for text in pair]
        for body in bodies:
            self.server.execute("XADD", self.place.stream, "*", *flat, "body", body.decode())

    def table(self) -> dict[str, object]:
        place = self.place
        return {"kind": "redis", "url": place.url, "stream": place.stream}

    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]:
        return redis_stream.connect(self.place, node, self.faults)

    def sink_table(self) -> dict[str, object]:
        return self.table()

    def sink(self) -> AbstractAsyncContextManager[BrokerSink]:
        place = redis_sink.StreamEnd(
            url=self.place.url, stream=self.place.stream, length_max=10_000
        )
        return redis_sink.connect_sink(place, self.faults)


class RabbitQueue:
    """A durable queue of its own on *server*, reached at *url*."""

    is_ordered = True

    def __init__(self, server: RabbitMQ, url: str | None = None, *, make: bool = True) -> None:
        self.server = server
        self.faults = LoopFaults()
        self.place = rabbitmq.QueuePlace(
            url=url or server.url,
            queue=f"queue-{next(_NAMES)}",
            ordered=True,
            declare=False,
            batch=256,
        )
        if make:
            self.server.declare(self.place.queue)

    @property
    def name(self) -> str:
        return self.place.queue

    def put(self, *bodies: bytes, headers: Mapping[str, str] | None = None) -> None:
        async def publish(channel: Any) -> None:
            for body in bodies:
                properties = pamqp.commands.Basic.Properties(
                    delivery_mode=2,
                    message_id=str(uuid.uuid4()),
                    timestamp=datetime.now(UTC),
                    headers=dict(headers or {}),
                    correlation_id=(headers or {}).get("correlation-id"),
                )
                await channel.basic_publish(
                    body, routing_key=self.place.queue, properties=properties
                )

        self.server.work(publish)

    def table(self) -> dict[str, object]:
        return {"kind": "rabbitmq", "url": self.place.url, "queue": self.place.queue}

    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]:
        return rabbitmq.connect(self.place, self.faults)

    def sink_table(self) -> dict[str, object]:
        return {"kind": "rabbitmq", "url": self.place.url, "routing_key": self.place.queue}

    def sink(self) -> AbstractAsyncContextManager[BrokerSink]:
        place = rabbitmq_sink.ExchangePlace(
            url=self.place.url,
            exchange="",
            routing_key=self.place.queue,
            ca_file=self.place.ca_file,
        )
        return rabbitmq_sink.connect_sink(place, self.faults)


class KafkaTopic:
    """A topic of one partition of its own on *server*. It is reached directly, since the brokers
    themselves say where they are.
    """

    is_ordered = False

    def __init__(self, server: Kafka, *, make: bool = True, partitions: int = 1) -> None:
        self.server = server
        self.faults = LoopFaults()
        self.place = kafka.TopicsPlace(
            brokers=KafkaBrokers(servers=(f"127.0.0.1:{server.port}",)),
            topics=(f"topic-{next(_NAMES)}",),
            group="tocsin",
            start="earliest",
        )
        if make:
            server.create_topic(self.place.topics[0], partitions)

    @property
    def name(self) -> str:
        return self.place.topics[0]

    def put(
        self,
        *bodies: bytes,
        headers: Mapping[str, str] | None = None,
        codec: str | None = None,
    ) -> None:
        pairs = [(name, text.encode()) for name, text in (headers or {}).items()]

        async def send(producer: Any) -> None:
            topic = self.place.topics[0]
            sent = [await producer.send(topic, body, headers=pairs) for body in bodies]
            await asyncio.gather(*sent)

        self.server.send(send, enable_idempotence=True, compression_type=codec)

    def table(self) -> dict[str, object]:
        servers, topics = list(self.place.brokers.servers), list(self.place.topics)
        return {"kind": "kafka", "servers": servers, "topics": topics}

    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]:
        return kafka.connect(self.place, self.faults)

    def sink_table(self) -> dict[str, object]:
        servers, [topic] = list(self.place.brokers.servers), self.place.topics
        return {"kind": "kafka", "servers": servers, "topic": topic}

    def sink(self) -> AbstractAsyncContextManager[BrokerSink]:
        [topic] = self.place.topics
        place = kafka_sink.TopicPlace(brokers=self.place.brokers, topic=topic)
        return kafka_sink.connect_sink(place, self.faults)


class SqsQueue:
    """A queue of its own on *server*, reached at *url*; a FIFO queue with one group if *fifo*."""

    is_ordered = False

    def __init__(
        self, server: ElasticMQ, url: str | None = None, *, make: bool = True, fifo: bool = True
    ) -> None:
        self.server = server
        self.faults = LoopFaults()
        name = f"queue-{next(_NAMES)}{'.fifo' if fifo else ''}"
        self.place = SqsPlace(
            url=f"{url or server.url}/000000000000/{name}",
            region=REGION,
            credentials=AwsCredentials("key", "secret"),
            visibility=60,
        )
        if make:
            self.make()

    def make(self) -> None:
        """Make the queue; one of the same name has to be gone."""
        attributes = {"FifoQueue": "true"} if self.place.is_fifo else {}
        self.server.call("CreateQueue", QueueName=self.place.name, Attributes=attributes)

    @property
    def name(self) -> str:
        return self.place.name

    def put(self, *bodies: bytes, headers: Mapping[str, str] | None = None) -> None:
        attributes = {
            name: {"DataType": "String", "StringValue": text}
            for name, text in (headers or {}).items()
        }
        for first in range(0, len(bodies), 10):
            entries: list[dict[str, Any]] = [
                {"Id": str(number), "MessageBody": body.decode(), "MessageAttributes": attributes}
                for number, body in enumerate(bodies[first : first + 10])
            ]
            if self.place.is_fifo:
                for each in entries:
                    each |= {"MessageGroupId": "g", "MessageDeduplicationId": str(uuid.uuid4())}
            answer = self.server.call("SendMessageBatch", QueueUrl=self.place.url, Entries=entries)
            assert not answer.get("Failed")

    def table(self) -> dict[str, object]:
        return {
            "kind": "sqs",
            "queue_url": self.place.url,
            "region": self.place.region,
            "access_key": "key",
            "secret_key": "secret",
            "wait": "1s",
            "visibility": "10s",
        }

    def connect(self, node: str = "a") -> AbstractAsyncContextManager[Source]:
        return sqs.connect(self.place)

    def sink_table(self) -> dict[str, object]:
        names = ("kind", "queue_url", "region", "access_key", "secret_key")
        return {name: self.table()[name] for name in names}

    def sink(self) -> AbstractAsyncContextManager[BrokerSink]:
        return sqs_sink.connect_sink(self.place)


QUEUES: dict[str, tuple[str, Any]] = {
    "redis": ("broker_redis", RedisStream),
    "rabbitmq": ("broker_rabbitmq", RabbitQueue),
    "kafka": ("broker_kafka", KafkaTopic),
    "sqs": ("broker_sqs", SqsQueue),
}
"""By kind of broker: the fixture of its shared server, and a queue on it."""


async def take(source: Source, count: int, *, done: bool = True) -> list[BrokerMessage]:
    """Take *count* messages from *source*, and say that they are done."""
    taken: list[BrokerMessage] = []
    with trio.fail_after(WAIT):
        while len(taken) < count:
            batch = await source.take(count - len(taken), 0.5)
            if done:
                await source.done(batch)
            taken += batch
    return taken


def bodies(taken: Sequence[BrokerMessage]) -> list[bytes]:
    return [each.body for each in taken]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def receipts(first: int, count: int) -> list[SinkMessage]:
    """Receipts numbered from *first* on; the number is the body."""
    return [
        SinkMessage(
            id=f"e-{number}",
            kind="delivered",
            key="ada",
            body=b"%d" % number,
            headers={"receipt-id": f"e-{number}", "kind": "delivered", "correlation-id": "c"},
        )
        for number in range(first, first + count)
    ]


async def until_taken(queue: Queue, count: int, node: str = "a") -> list[BrokerMessage]:
    """Take *count* messages over as many connections as it takes: the broker may be away."""
    taken: list[BrokerMessage] = []
    with trio.fail_after(WAIT):
        while len(taken) < count:
            try:
                async with queue.connect(node) as source:
                    taken += await take(source, count - len(taken))
            except* SourceAway:
                pass
            await trio.sleep(0.05)  # waits for: the broker, which says nothing when it is back
    return taken


async def is_elsewhere(queue: Queue, node: str) -> bool:
    """Whether another node has *queue*, as *node* is told."""
    told = False
    try:
        async with queue.connect(node) as source:
            await source.take(1, 0.1)
    except* SourceElsewhere:
        told = True
    return told
