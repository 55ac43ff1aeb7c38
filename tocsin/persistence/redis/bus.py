"""The bus on Redis pub/sub: publishes through the shared client, hears on its own connection.

A script publishes a whole batch, so that there is one command to parse and one reply to read,
instead of one for each envelope. That is ten times cheaper for the node, and no dearer for Redis.

Disconnected users are a sorted set of marks. A mark's score is the time at which it was made, by
the clock of Redis, so that the clocks of nodes need not agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tocsin.persistence.bus import (
    DISCONNECTED_LIFETIME,
    DISCONNECTED_MAX,
    Heard,
    Said,
)
from tocsin.persistence.redis.client import Command, RedisClient, Reply
from tocsin.persistence.redis.presence import NOW
from tocsin.persistence.redis.subscriber import RedisSubscriber

MESSAGES_MAX = 500
"""Envelopes in one command, which keeps Redis busy, and others waiting, for a millisecond."""
MARK_BYTES_MAX = 2048
"""Bytes of a mark that is looked at; one of ours is a seal, a time and a user's name, which is
shorter."""
_LIFETIME_MS = round(DISCONNECTED_LIFETIME * 1000)

# Sent as text each time and not by its hash (EVALSHA), which a restarted server does not know.
PUBLISH = """\
for i = 1, #ARGV, 2 do
    redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
"""

KEEP_DISCONNECTED = (
    NOW
    + """\
local key, lifetime, most = KEYS[1], ARGV[1], ARGV[2]
for i = 3, #ARGV do
    redis.call('ZADD', key, now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - lifetime)
redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
redis.call('PEXPIRE', key, lifetime)
"""
)

DISCONNECTED = (
    NOW
    + """\
local since = '(' .. (now - ARGV[1])
local found = redis.call(
    'ZREVRANGEBYSCORE', KEYS[1], '+inf', since, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local marks = {}
for i = 1, #found, 2 do
    if #found[i] <= tonumber(ARGV[3]) then
        marks[#marks + 1] = found[i]
        marks[#marks + 1] = found[i + 1]
    end
end
return {now, marks}
"""
)


class RedisBus:
    """`Bus` on *client*, which its maker closes."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._subscriber = RedisSubscriber(client)
        self._disconnected = f"{client.prefix}disconnected"

    async def open(self) -> None:
        await self._client.call(("PING",))
        await self._subscriber.open()

    async def publish(self, messages: Sequence[Said]) -> None:
        starts = range(0, len(messages), MESSAGES_MAX)
        await self._client.call(
            *(self._publication(messages[each : each + MESSAGES_MAX]) for each in starts)
        )

    async def subscribe(self, channels: Iterable[str]) -> None:
        await self._subscriber.subscribe(channels)

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        await self._subscriber.unsubscribe(channels)

    async def receive(self) -> Sequence[Heard]:
        return await self._subscriber.receive()

    async def keep_disconnected(self, marks: Iterable[bytes]) -> None:
        await self._on_marks(KEEP_DISCONNECTED, DISCONNECTED_MAX, *marks)

    async def disconnected(self) -> Mapping[bytes, float]:
        now, found = await self._on_marks(DISCONNECTED, DISCONNECTED_MAX, MARK_BYTES_MAX)
        ages = ((now - float(moment)) / 1000 for moment in found[1::2])
        return dict(zip(found[::2], ages, strict=True))

    async def aclose(self) -> None:
        await self._subscriber.aclose()

    async def _on_marks(self, script: str, *arguments: bytes | int) -> Reply:
        key = self._disconnected
        command = ("EVAL", script, 1, key, _LIFETIME_MS, *arguments)
        [reply] = await self._client.call_on({key: "zset"}, command)
        return reply

    def _publication(self, messages: Sequence[Said]) -> Command:
        name = self._subscriber.channel
        arguments = [part for each in messages for part in (name(each.channel), each.payload)]
        return ("EVAL", PUBLISH, 0, *arguments)
