"""Leases in Redis: for each user a sorted set of connections, whose scores are the leases' ends.

The scripts read the time from Redis, so that the clocks of nodes need not agree. A set expires with
its last lease, so a user who has left leaves nothing behind.

A connection names the run of its node: it counts only while the lease of that run lasts, which is a
key by itself. So a node renews one key every few seconds and not a lease for each user, and the
connections' own ends may lie far off. A connection without a run was written by a node of the
release before, and counts until its own end; such a node passes over the run of ours.

Each connection in a set has a seal of this cluster, for its user, and each lease of a run has one
for its run. Others are ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tocsin.persistence.bus import Connected, Lease, latest
from tocsin.persistence.redis.client import Command, RedisClient, Reply, key_needed
from tocsin.protocol.cluster.seals import SEAL_BYTES, Seal

LEASE_MAX = 3600.0
"""Seconds of the longest lease: one that ends later was not made by a node, and is removed."""
COUNT_BYTES_MAX = 64
"""Bytes of a run's lease that is looked at: a seal and a number are shorter."""
CONNECTIONS_MAX = 1000
"""Connections of one user that are read: more are not made by nodes."""
MEMBER_BYTES_MAX = 2048
"""Bytes of a lease that is looked at; one of ours, with the longest names, is shorter."""
LEASES_MAX = 250
"""Leases in one command, which keeps Redis busy, and other clients waiting, for a millisecond."""

_RUN_CONTEXT = b"run\0"
"""The place that the seal of a run's lease names: no user's name has this byte in it."""

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

KEPT = f"""\
local found = {{}}
for i, key in ipairs(KEYS) do
    local kept = redis.call('GET', key)
    if not kept or #kept > {COUNT_BYTES_MAX} then kept = '' end
    found[i] = kept
end
"""

RENEW = (
    KEPT
    + """\
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return found
"""
)

LIVING = KEPT + "return found\n"

DAMAGED = NOW + "redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', 60000)\n"

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
        self._damage = f"{client.prefix}damage"
        """The key that says when a user's set was removed, because it was none. The nodes whose
        devices were in it tell of them anew at their next renewal."""
        self._seen_damage = b""

    async def renew(self, run: str, count: int, seconds: float) -> int:
        key = self._run_key(run)
        with key_needed():
            value = self._kept(run, count)
        command = ("EVAL", RENEW, 2, key, self._damage, value, round(seconds * 1000))
        kinds = {key: "string", self._damage: "string"}
        [[before, damage]] = await self._client.call_on(kinds, command)
        is_whole = damage in (b"", self._seen_damage)
        self._seen_damage = damage
        return self._count(run, before) if is_whole else 0

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        await self._run(HOLD, leases, round(seconds * 1000))

    async def release(self, leases: Sequence[Lease]) -> None:
        await self._run(RELEASE, leases)

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        key = self._key(user)
        [members] = await self._on_sets([key], ("EVAL", OF, 1, key))
        with key_needed():
            read = [self._read(user, each) for each in members]
        found = [each for each in read if each is not None]
        living = await self._living({each.run for each in found if each.run})
        return latest(each.connected() for each in found if not each.run or each.run in living)

    async def _living(self, runs: Collection[str]) -> set[str]:
        """Those of *runs* whose leases have not ended."""
        if not runs:
            return set()
        keys = {self._run_key(run): run for run in runs}
        kinds = dict.fromkeys(keys, "string")
        [kept] = await self._client.call_on(kinds, ("EVAL", LIVING, len(keys), *keys))
        pairs = zip(keys.values(), kept, strict=True)
        return {run for run, value in pairs if self._count(run, value)}

    async def _run(self, script: str, leases: Sequence[Lease], *first: int) -> None:
        with key_needed():
            commands = [self._command(script, part, *first) for part in _parts(leases)]
        await self._on_sets([self._key(each.user) for each in leases], *commands)

    async def _on_sets(self, keys: Collection[str], *commands: Command) -> list[Reply]:
        kinds = dict.fromkeys(keys, "zset")
        damaged = ("EVAL", DAMAGED, 1, self._damage)
        return await self._client.call_on(kinds, *commands, if_cleared=[damaged])

    def _command(self, script: str, leases: Sequence[Lease], *first: int) -> Command:
        keys = [self._key(each.user) for each in leases]
        members = map(self._member, leases)
        return ("EVAL", script, len(keys), *keys, *first, *members)

    def _member(self, lease: Lease) -> bytes:
        """The set's member for *lease*. Equal leases have equal members on every node, because a
        lease is renewed and removed by its member.
        """
        member = msgspec.json.encode(_Member(lease.device, lease.node, lease.since, lease.run))
        return self._seal.of(lease.user.encode(), member) + member

    def _kept(self, run: str, count: int) -> bytes:
        """The value of the lease of *run* that keeps *count*."""
        text = b"%d" % count
        return self._seal.of(_RUN_CONTEXT + run.encode(), text) + text

    def _count(self, run: str, value: bytes) -> int:
        """The count in the lease of *run*; 0 if *value* is none that a node has made."""
        seal, text = value[:SEAL_BYTES], value[SEAL_BYTES:]
        if not value:
            return 0
        if not self._seal.fits(seal, _RUN_CONTEXT + run.encode(), text):
            self._client.refusals.add("presence", "forged")
            return 0
        return int(text)

    def _read(self, user: str, sealed: bytes) -> _Member | None:
        seal, member = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        if not self._seal.fits(seal, user.encode(), member):
            self._client.refusals.add("presence", "forged")
            return None
        return msgspec.json.decode(member, type=_Member)

    def _key(self, user: str) -> str:
        return f"{self._client.prefix}presence:{user}"

    def _run_key(self, run: str) -> str:
        return f"{self._client.prefix}run:{run}"


class _Member(msgspec.Struct, frozen=True, array_like=True):
    """A connection as it is stored in a user's set, behind its seal."""

    device: str
    node: str
    since: int
    run: str = ""

    def connected(self) -> Connected:
        return Connected(self.device, self.node, self.since)


def _parts(leases: Sequence[Lease]) -> list[Sequence[Lease]]:
    return [leases[start : start + LEASES_MAX] for start in range(0, len(leases), LEASES_MAX)]
