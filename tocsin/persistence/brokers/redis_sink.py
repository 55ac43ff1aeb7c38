"""A Redis Stream as a sink: `XADD`, and trimming if it is asked for.

A reply says that Redis has the entry; whether it is on disk depends on its `appendfsync`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from tocsin.persistence.brokers.loops import connector_loop
from tocsin.persistence.brokers.redis_calls import TIMEOUT, answered
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.redis.client import Command, RedisClient
from tocsin.persistence.sink import BrokerSink, SinkMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """Which *stream*, at which Redis (*url*), of about *length_max* entries if that is given."""

    url: str = field(repr=False)
    stream: str
    length_max: int | None


@asynccontextmanager
async def connect_sink(place: StreamEnd, faults: LoopFaults) -> AsyncIterator[BrokerSink]:
    """Open the stream at *place*, in an asyncio loop of its own; as `ConnectSink`."""
    async with connector_loop(faults):
        client = RedisClient(place.url, prefix="", timeout=TIMEOUT)
        try:
            await answered(client, place.stream, ("PING",))
            yield StreamSink(client, place)
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()


class StreamSink:
    """`BrokerSink` on a client of Redis; made by `connect_sink`."""

    def __init__(self, client: RedisClient, place: StreamEnd) -> None:
        self._client = client
        self._place = place

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        await answered(self._client, self._place.stream, *map(self._add, batch))

    def _add(self, message: SinkMessage) -> Command:
        length_max = self._place.length_max
        trimmed = () if length_max is None else ("MAXLEN", "~", length_max)
        flat = [text for pair in message.headers.items() for text in pair]
        return ("XADD", self._place.stream, *trimmed, "*", *flat, "body", message.body)
