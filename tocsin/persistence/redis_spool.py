"""The spool in Redis: a stream, read by a consumer group, and a lease that says whose turn it is.

A node that has the lease is the only one that takes. So whatever is pending in the group, no matter
under whose name, is nobody else's: the taker claims it at once, from the oldest on, and only then
reads on. That makes it one order: what a dead node left comes before what nobody has seen.

An entry is acknowledged and deleted in one step, when it is stored, and nothing else ever trims
the stream. It keeps as well as the server keeps its data: see the append-only file in
docs/cluster.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.persistence.bus import CLAIM_LIFETIME, Appended, Claim, Draft, Entry
from tocsin.persistence.redis_client import Command, RedisClient, Reply

POISONED_MAX = 10_000
"""Entries that are kept aside; the oldest go first. Each is an incident, not a load."""

IDS_MAX = 1000
"""Entries that one command forgets; Lua unpacks no more than some thousands."""

GROUP = "drain"

APPEND = """\
local stream, run_key, lifetime = KEYS[1], KEYS[2], ARGV[1]
local run = redis.call('XLEN', stream) > 0 and redis.call('GET', run_key)
local key, argument, earlier = 3, 2, {}

local function append(payload)
    local entry = redis.call('XADD', stream, '*', 'payload', payload)
    if not run then
        run = entry
        redis.call('SET', run_key, run)
    end
end

while argument <= #ARGV do
    if ARGV[argument + 1] == '' then
        append(ARGV[argument])
        earlier[#earlier + 1] = false
        argument = argument + 2
    else
        local before = redis.call('HMGET', KEYS[key], 'fingerprint', 'answer')
        if before[1] then
            earlier[#earlier + 1] = before
        else
            append(ARGV[argument])
            redis.call('HSET', KEYS[key], 'fingerprint', ARGV[argument + 2],
                'answer', ARGV[argument + 3])
            redis.call('PEXPIRE', KEYS[key], lifetime)
            earlier[#earlier + 1] = false
        end
        key, argument = key + 1, argument + 4
    end
end
return {run or '', earlier}
"""

TAKE = """\
local stream, lease = KEYS[1], KEYS[2]
local node, milliseconds, limit, group = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local holder = redis.call('GET', lease)
if holder and holder ~= node then return false end
redis.call('SET', lease, node, 'PX', milliseconds)

-- Fails if it is there; after FLUSHALL it is not.
redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')

local claimed = redis.call('XAUTOCLAIM', stream, group, node, 0, '0-0', 'COUNT', limit)[2]
local entries, is_deleted = {}, false
for _, entry in ipairs(claimed) do
    if entry then entries[#entries + 1] = entry else is_deleted = true end
end
if is_deleted then
    -- Somebody deleted by hand what was pending; before Redis 7, it would stay so for ever.
    for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', limit)) do
        if #redis.call('XRANGE', stream, pending[1], pending[1]) == 0 then
            redis.call('XACK', stream, group, pending[1])
        end
    end
end

if #claimed < limit then
    local new = redis.call(
        'XREADGROUP', 'GROUP', group, node, 'COUNT', limit - #claimed, 'STREAMS', stream, '>')
    for _, entry in ipairs(new and new[1][2] or {}) do entries[#entries + 1] = entry end
end
return entries
"""

DONE = """\
redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))
redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
"""

POISON = """\
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[6] then return end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 1 then
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[5], '*',
        'id', ARGV[2], 'payload', ARGV[3], 'reason', ARGV[4])
end
"""

# The oldest are looked for last: it is the newest that somebody deals with.
SETTLE = """\
local stream, run_key, poisoned = KEYS[1], KEYS[2], KEYS[3]
local before = '+'
while true do
    local some = redis.call('XREVRANGE', poisoned, before, '-', 'COUNT', 100)
    if #some == 0 then return 0 end
    for _, each in ipairs(some) do
        local id, payload = each[2][2], each[2][4]
        if id == ARGV[1] then
            redis.call('XDEL', poisoned, each[1])
            if ARGV[2] == 'replay' then
                local run = redis.call('XLEN', stream) > 0 and redis.call('GET', run_key)
                local entry = redis.call('XADD', stream, '*', 'payload', payload)
                if not run then redis.call('SET', run_key, entry) end
            end
            return 1
        end
    end
    before = '(' .. some[#some][1]
end
"""


class RedisSpool:
    """`Spool` on *client*."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._stream = f"{client.prefix}spool"
        self._poisoned = f"{client.prefix}spool:poisoned"
        self._lease = f"{client.prefix}spool:lease"
        self._run = f"{client.prefix}spool:run"
        self._claims = f"{client.prefix}spool:claim:"

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        keys = [self._stream, self._run]
        arguments: list[bytes | str] = []
        for draft in drafts:
            if (claim := draft.claim) is None:
                arguments += (draft.payload, "")
            else:
                keys.append(self._claims + claim.key)
                arguments += (draft.payload, "claimed", claim.fingerprint, claim.answer)
        lifetime = round(CLAIM_LIFETIME * 1000)
        [(run, earlier)] = await self._client.call(
            ("EVAL", APPEND, len(keys), *keys, lifetime, *arguments)
        )
        claims = map(_claim, drafts, earlier)
        return Appended(run.decode(), tuple(claims))

    async def take(self, node: str, limit: int, lease: float) -> Sequence[Entry] | None:
        arguments = (node, round(lease * 1000), limit, GROUP)
        [entries] = await self._client.call(
            ("EVAL", TAKE, 2, self._stream, self._lease, *arguments)
        )
        return None if entries is None else [_entry(each) for each in entries]

    async def done(self, node: str, ids: Sequence[str]) -> None:
        parts = (ids[start : start + IDS_MAX] for start in range(0, len(ids), IDS_MAX))
        await self._client.call(*map(self._forgetting, parts))

    async def poison(self, node: str, entry: Entry, reason: str) -> None:
        keys = (self._stream, self._poisoned, self._lease)
        arguments = (GROUP, entry.id, entry.payload, reason, POISONED_MAX, node)
        await self._client.call(("EVAL", POISON, len(keys), *keys, *arguments))

    async def poisoned(self, limit: int) -> Sequence[tuple[Entry, str]]:
        [found] = await self._client.call(("XREVRANGE", self._poisoned, "+", "-", "COUNT", limit))
        fields = [_fields(each[1]) for each in found]
        return [
            (Entry(each[b"id"].decode(), each[b"payload"]), each[b"reason"].decode())
            for each in fields
        ]

    async def replay(self, entry: str) -> bool:
        return await self._settle(entry, "replay")

    async def discard(self, entry: str) -> bool:
        return await self._settle(entry, "discard")

    async def size(self) -> int:
        [length] = await self._client.call(("XLEN", self._stream))
        return int(length)

    async def _settle(self, entry: str, how: str) -> bool:
        keys = (self._stream, self._run, self._poisoned)
        [found] = await self._client.call(("EVAL", SETTLE, len(keys), *keys, entry, how))
        return bool(found)

    def _forgetting(self, ids: Sequence[str]) -> Command:
        return ("EVAL", DONE, 1, self._stream, GROUP, *ids)


def _claim(draft: Draft, reply: Reply) -> Claim | None:
    if reply is None:
        return None
    assert draft.claim is not None
    return Claim(draft.claim.key, reply[0], reply[1].decode())


def _entry(reply: Reply) -> Entry:
    return Entry(reply[0].decode(), _fields(reply[1])[b"payload"])


def _fields(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
