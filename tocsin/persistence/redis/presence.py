"""Leases in Redis: for each user a sorted set of connections, whose scores are the leases' ends.

The scripts read the time from Redis, so that the clocks of nodes need not agree. A set expires with
its last lease, so a user who has left leaves nothing behind.

Each connection in a set has a seal of this cluster, for its user. One without it is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.persistence.bus import Connected, Lease, latest
from tocsin.persistence.redis.client import Command, RedisClient, key_needed
from tocsin.protocol.seals import SEAL_BYTES, Seal

LEASE_MAX = 3600.0
"""Seconds of the longest lease: one that ends later was not made by a node, and is removed."""
CONNECTIONS_MAX = 1000
"""Connections of one user that are read: more are not made by nodes."""
MEMBER_BYTES_MAX = 2048
"""Bytes of a lease that is looked at; one of ours, with the longest names, is shorter."""
LEASES_MAX = 250
"""Leases in one command, which keeps Redis busy, and other clients waiting, for a millisecond."""

NOW = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

HOLD = (
    NOW
    + f"""\
local ends, beyond = now + ARGV[1], '(' .. now + {round(LEASE_MAX * 1000)}
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    redis.call('ZREMRANGEBYSCORE', key, beyond, '+inf')
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

OF = (
    NOW
    + f"""\
local found = redis.call(
    'ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'LIMIT', 0, {CONNECTIONS_MAX})
local members = {{}}
for _, each in ipairs(found) do
    if #each <= {MEMBER_BYTES_MAX} then members[#members + 1] = each end
end
return members
"""
)


class RedisPresence:
    """`Presence` on *client*; *seal* is the one for this purpose."""

    def __init__(self, client: RedisClient, seal: Seal) -> None:
        self._client = client
        self._seal = seal

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        await self._run(HOLD, leases, round(seconds * 1000))

    async def release(self, leases: Sequence[Lease]) -> None:
        await self._run(RELEASE, leases)

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        key = self._key(user)
        [members] = await self._client.call_on({key: "zset"}, ("EVAL", OF, 1, key))
        with key_needed():
            found = [self._read(user, each) for each in members]
        return latest(each for each in found if each is not None)

    async def _run(self, script: str, leases: Sequence[Lease], *first: int) -> None:
        kinds = {self._key(each.user): "zset" for each in leases}
        with key_needed():
            commands = [self._command(script, part, *first) for part in _parts(leases)]
        await self._client.call_on(kinds, *commands)

    def _command(self, script: str, leases: Sequence[Lease], *first: int) -> Command:
        keys = [self._key(each.user) for each in leases]
        members = map(self._member, leases)
        return ("EVAL", script, len(keys), *keys, *first, *members)

    def _member(self, lease: Lease) -> bytes:
        """The set's member for *lease*. Equal leases have equal members on every node, because a
        lease is renewed and removed by its member.
        """
        member = msgspec.json.encode(_Member(lease.device, lease.node, lease.since))
        return self._seal.of(lease.user.encode(), member) + member

    def _read(self, user: str, sealed: bytes) -> Connected | None:
        seal, member = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        if not self._seal.fits(seal, user.encode(), member):
            self._client.refusals.add("presence", "forged")
            return None
        return msgspec.json.decode(member, type=_Member).connected()

    def _key(self, user: str) -> str:
        return f"{self._client.prefix}presence:{user}"


class _Member(msgspec.Struct, frozen=True, array_like=True):
    """A connection as it is stored in a user's set, behind its seal."""

    device: str
    node: str
    since: int

    def connected(self) -> Connected:
        return Connected(self.device, self.node, self.since)


def _parts(leases: Sequence[Lease]) -> list[Sequence[Lease]]:
    return [leases[start : start + LEASES_MAX] for start in range(0, len(leases), LEASES_MAX)]
