"""A topic of Kafka as a sink: an idempotent producer that waits for all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from tocsin.persistence.brokers.kafka_calls import (
    CLOSE_TIMEOUT,
    TIMEOUT,
    KafkaBrokers,
    answered,
    in_time,
    start,
)
from tocsin.persistence.brokers.loops import close_in_order, connector_loop
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import SourceRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlace:
    """Which *topic*, at which *brokers*."""

    brokers: KafkaBrokers
    topic: str


@asynccontextmanager
async def connect_sink(place: TopicPlace, faults: LoopFaults) -> AsyncIterator[BrokerSink]:
    """Open the topic at *place*, in an asyncio loop of its own; as `ConnectSink`."""
    async with connector_loop(faults):
        producer = AIOKafkaProducer(enable_idempotence=True, acks="all", **place.brokers.options())
        try:
            await start(producer.start, place.brokers)
            sink = TopicSink(producer, place)
            await sink.begin()
            yield sink
        finally:
            await close_in_order(producer.stop, CLOSE_TIMEOUT)


class TopicSink:
    """`BrokerSink` on a producer of aiokafka; made by `connect_sink`."""

    def __init__(self, producer: AIOKafkaProducer, place: TopicPlace) -> None:
        self._producer = producer
        self._place = place

    async def begin(self) -> None:
        """See that the topic is there: aiokafka would wait for one that is missing, where this
        raises `SourceRefused`. Cancelled, nothing has been done.
        """
        with in_time(TIMEOUT):
            there = await answered(self._producer.client.fetch_all_metadata)
        if self._place.topic not in there.topics():
            raise SourceRefused(f"there is no topic {self._place.topic}, or no right to see it")

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        with in_time(TIMEOUT):
            await answered(self._send_all, batch)

    async def _send_all(self, batch: Sequence[SinkMessage]) -> None:
        sent = []
        for message in batch:
            headers = [(name, text.encode()) for name, text in message.headers.items()]
            sent.append(
                await self._producer.send(
                    self._place.topic, message.body, key=message.key.encode(), headers=headers
                )
            )
        await asyncio.gather(*sent)
