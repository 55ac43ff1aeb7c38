"""Leases in Redis: per user a sorted set of connections, each with when its lease ends.

The moments are Redis's own, read inside the scripts. A whole set ends with its last lease, so a
user who is gone leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.persistence.bus import Connected, Lease, latest
from tocsin.persistence.redis_client import Command, RedisClient

LEASES_MAX = 250
"""Leases in one command: Redis does nothing else meanwhile, and so is busy for a millisecond."""

NOW = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

HOLD = (
    NOW
    + """\
local ends = now + ARGV[1]
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    redis.call('ZADD', key, ends, ARGV[i + 1])
    local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    redis.call('PEXPIREAT', key, last[2])
end
"""
)

RELEASE = """\
for i, key in ipairs(KEYS) do
    redis.call('ZREM', key, ARGV[i])
end
"""

OF = NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')\n"


class RedisPresence:
    """`Presence` on *client*."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        await self._client.call(
            *(self._command(HOLD, part, round(seconds * 1000)) for part in _parts(leases))
        )

    async def release(self, leases: Sequence[Lease]) -> None:
        await self._client.call(*(self._command(RELEASE, part) for part in _parts(leases)))

    async def of(self, user: str) -> tuple[Connected, ...]:
        [members] = await self._client.call(("EVAL", OF, 1, self._key(user)))
        return latest(msgspec.json.decode(each, type=_Member).connected() for each in members)

    def _command(self, script: str, leases: Sequence[Lease], *first: int) -> Command:
        keys = [self._key(each.user) for each in leases]
        members = [
            msgspec.json.encode(_Member(each.device, each.node, each.since)) for each in leases
        ]
        return ("EVAL", script, len(keys), *keys, *first, *members)

    def _key(self, user: str) -> str:
        return f"{self._client.prefix}presence:{user}"


class _Member(msgspec.Struct, frozen=True, array_like=True):
    """A connection as it stands in a user's set."""

    device: str
    node: str
    since: int

    def connected(self) -> Connected:
        return Connected(self.device, self.node, self.since)


def _parts(leases: Sequence[Lease]) -> list[Sequence[Lease]]:
    return [leases[start : start + LEASES_MAX] for start in range(0, len(leases), LEASES_MAX)]
