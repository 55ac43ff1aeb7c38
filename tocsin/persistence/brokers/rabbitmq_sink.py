"""An exchange of RabbitMQ as a sink: persistent messages, mandatory, with publisher confirms.

A message that no queue takes is confirmed by the broker as well; it only comes back because it is
*mandatory*. Such a batch is carried again until an operator has bound a queue: nothing is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiormq
import pamqp.commands

from tocsin.persistence.brokers.rabbitmq_calls import answered, open_channel
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import SourceRefused

_PERSISTENT: Final = 2
"""The delivery mode of messages that a broker writes down (AMQP 0-9-1 §4.6)."""
_SHORT_MAX: Final = 255
"""Bytes of a short string (AMQP 0-9-1 §4.2.5.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangePlace:
    """Which *exchange* (the default one if empty), at which broker (*url*).

    In *routing_key*, `{kind}` stands for the receipt's kind. *ca_file* is as in `open_channel`.
    """

    url: str = field(repr=False)
    exchange: str
    routing_key: str
    ca_file: str | None = None


@asynccontextmanager
async def connect_sink(place: ExchangePlace, faults: LoopFaults) -> AsyncIterator[BrokerSink]:
    """Open the exchange at *place*, in an asyncio loop of its own; as `ConnectSink`."""
    async with open_channel(place.url, faults, ca_file=place.ca_file, confirms=True) as channel:
        if place.exchange:
            await answered(channel.exchange_declare, place.exchange, passive=True)
        yield ExchangeSink(channel, place)


class ExchangeSink:
    """`BrokerSink` on a channel of aiormq; made by `connect_sink`."""

    def __init__(self, channel: aiormq.Channel, place: ExchangePlace) -> None:
        self._channel = channel
        self._place = place

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        returned = await answered(self._publish_all, batch)
        if returned:
            raise SourceRefused(f"no queue takes messages with the routing key {returned[0]}")

    async def _publish_all(self, batch: Sequence[SinkMessage]) -> list[str]:
        """Publish *batch*; the routing keys of messages that no queue takes."""
        # Side by side, so that the confirms come together. They wait for one lock of the channel,
        # in order, and so stand in the connection's line in order.
        done = await asyncio.gather(*map(self._publish, batch), return_exceptions=True)
        returned = []
        for message, each in zip(batch, done, strict=True):
            if isinstance(each, aiormq.exceptions.PublishError):
                returned.append(self._routing_key(message))
            elif isinstance(each, BaseException):
                raise each
        return returned

    async def _publish(self, message: SinkMessage) -> None:
        properties = pamqp.commands.Basic.Properties(
            content_type=message.content_type,
            delivery_mode=_PERSISTENT,
            message_id=message.id,
            correlation_id=_short(message.headers.get("correlation-id")),
            headers=dict(message.headers),
        )
        await self._channel.basic_publish(
            message.body,
            exchange=self._place.exchange,
            routing_key=self._routing_key(message),
            properties=properties,
            mandatory=True,
        )

    def _routing_key(self, message: SinkMessage) -> str:
        return self._place.routing_key.replace("{kind}", message.kind)


def _short(text: str | None) -> str | None:
    """*text* where it fits into a property of AMQP; the header of the same name has it anyhow."""
    return text if text is not None and len(text.encode()) <= _SHORT_MAX else None
