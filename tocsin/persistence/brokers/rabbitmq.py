"""A queue of RabbitMQ as a source: AMQP 0-9-1 by aiormq.

The channel's prefetch is two batches: while one is in hand, the next one arrives. (With one batch
the broker would push nothing until that is acknowledged, and then a few messages at a time, each
few of which would be a transaction.) One acknowledgment with `multiple` is for a whole batch.
Messages that are not acknowledged come back in their order when the channel ends. An *ordered*
queue is consumed exclusively: the broker refuses a second consumer.

aiormq is silent when the broker cancels a consumer, as it does if the queue is deleted. That is
seen only in the channel's own list of consumers.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import aiormq
import trio
from aiormq import spec
from aiormq.abc import DeliveredMessage
from pamqp.header import ContentHeader

from tocsin.persistence.brokers.rabbitmq_calls import answered, open_channel
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceElsewhere,
    SourceRefused,
    key_of,
    read_headers,
)

_AHEAD: Final = 2
"""Batches that the broker may push before the first of them is acknowledged."""
_MS: Final = 1000
"""Milliseconds in a second: AMQP's timestamps have no more than seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Which *queue*, at which broker (*url*). With *declare*, a missing one is made, durable and of
    the quorum type. At most *batch* messages are taken at a time. *ca_file* is as in
    `open_channel`.
    """

    url: str = field(repr=False)
    queue: str
    ordered: bool
    declare: bool
    batch: int
    ca_file: str | None = None


@asynccontextmanager
async def connect(place: QueuePlace, faults: LoopFaults) -> AsyncIterator[Source]:
    """Open the queue at *place*, in an asyncio loop of its own; as `Connect`."""
    async with open_channel(place.url, faults, ca_file=place.ca_file) as channel:
        source = QueueSource(channel, place)
        await source.begin()
        yield source


class QueueSource:
    """`Source` on a channel of aiormq; made by `connect`."""

    def __init__(self, channel: aiormq.Channel, place: QueuePlace) -> None:
        self._channel = channel
        self._place = place
        self._tag = ""
        # The prefetch bounds it.
        self._arrived, self._arrivals = trio.open_memory_channel[DeliveredMessage](math.inf)
        self._in_hand = 0

    async def begin(self) -> None:
        """Look for the queue, and consume it.

        Raises `SourceElsewhere` if another node consumes it alone, and else as `Connect`.
        Cancelled, the channel is to be closed.
        """
        channel, queue = self._channel, self._place.queue
        await answered(channel.basic_qos, prefetch_count=_AHEAD * self._place.batch)
        if self._place.declare:
            arguments: dict[str, Any] = {"x-queue-type": "quorum"}
            await answered(channel.queue_declare, queue, durable=True, arguments=arguments)
        else:
            await answered(channel.queue_declare, queue, passive=True)
        channel.closing.add_done_callback(lambda _: self._arrived.close())
        # A private method of aiormq, whose version is pinned: it starts a task for each message,
        # which costs as much as reading it. Were it gone, the tasks would do the same.
        parts: Any = channel
        parts._on_deliver_frame = self._on_deliver_frame
        try:
            consuming = await answered(
                channel.basic_consume, queue, self._deliver, exclusive=self._place.ordered
            )
        except SourceRefused as error:
            if self._place.ordered and "exclusive" in str(error):
                raise SourceElsewhere from error
            raise
        self._tag = str(consuming.consumer_tag)

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        # Messages of a channel that has ended come again by the next one.
        if (reason := self.alive()) is not None:
            raise SourceAway(reason)
        taken: list[DeliveredMessage] = []
        with trio.move_on_after(wait):
            try:
                taken.append(await self._arrivals.receive())
            except trio.EndOfChannel:
                raise SourceAway("the channel was closed") from None
        while taken and len(taken) < limit:
            try:
                taken.append(self._arrivals.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        self._in_hand += len(taken)
        return [self._message(each) for each in taken]

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        if not taken:
            return
        if self._channel.is_closed:
            raise SourceAway("the channel was closed")
        # The tags of a channel rise, and the batch is all that was taken: one is for all before it.
        await answered(self._channel.basic_ack, taken[-1].token, multiple=True)
        self._in_hand -= len(taken)

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        await trio.lowlevel.checkpoint()
        if (reason := self.alive()) is not None:
            raise SourceAway(reason)

    async def skip(self, place: str) -> None:
        raise ValueError("every message of a queue can be read")

    def alive(self) -> str | None:
        if self._channel.is_closed:
            return "the channel was closed"
        if self._tag not in self._channel.consumers:
            return "the broker has cancelled the consumer: the queue was deleted, or has moved"
        return None

    async def lag(self) -> int | None:
        # The broker counts those that wait; those that it has pushed are in hand, or arrived.
        found = await answered(self._channel.queue_declare, self._place.queue, passive=True)
        arrived = self._arrivals.statistics().current_buffer_used
        return int(found.message_count or 0) + arrived + self._in_hand

    async def _on_deliver_frame(self, frame: spec.Basic.Deliver) -> None:
        header = await self._channel._get_frame()
        assert isinstance(header, ContentHeader), "the broker sends them one behind the other"
        message = await self._channel._read_content(frame, header)
        if frame.consumer_tag in self._channel.consumers:
            self._keep(message)

    async def _deliver(self, message: DeliveredMessage) -> None:
        self._keep(message)

    def _keep(self, message: DeliveredMessage) -> None:
        with suppress(trio.ClosedResourceError):
            self._arrived.send_nowait(message)

    def _message(self, message: DeliveredMessage) -> BrokerMessage:
        properties = message.header.properties
        name = properties.message_id or None
        queue = self._place.queue
        place = key_of(queue, name) if name else key_of(queue, sha256(message.body).hexdigest())
        return BrokerMessage(
            place=place,
            key=key_of(name) if name else None,
            body=message.body,
            token=message.delivery_tag,
            headers=read_headers((properties.headers or {}).items()),
            correlation=properties.correlation_id or None,
            at=_unix_ms(properties.timestamp),
        )


def _unix_ms(at: datetime | None) -> int | None:
    try:
        return None if at is None else round(at.timestamp() * _MS)
    except (ValueError, OverflowError, OSError):
        return None
