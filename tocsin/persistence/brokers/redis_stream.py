"""A Redis Stream as a source: `XREADGROUP`, `XACK`, and a lease or `XAUTOCLAIM`.

All nodes are one consumer, `tocsin`, of the group. A name for each node would leave a dead consumer
behind at each restart, and removing one (`XGROUP DELCONSUMER`) loses what it had pending.

An *ordered* stream belongs to the node that holds a lease on it. It takes what is pending first,
which a predecessor left, and then what is new. A node that was stopped beyond its lease, and goes
on, does what its successor has done: the keys of the messages make that harmless.

Without order, all nodes compete. The entries of a dead node are claimed after an idle minute.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from tocsin.persistence.brokers.loops import connector_loop
from tocsin.persistence.brokers.redis_calls import TIMEOUT, answered
from tocsin.persistence.bus import BusUnavailable
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.redis.client import Command, RedisClient
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceElsewhere,
    key_of,
    read_headers,
)

_CONSUMER: Final = "tocsin"
_BODY: Final = "body"
"""The field of an entry that holds the notification; the other fields are its headers."""
_BLOCK_MAX: Final = 2.0
"""Seconds that one read blocks at most; the lease is renewed between two."""
_LEASE: Final = 6.0
"""Seconds of the lease: a successor begins so long after its predecessor died."""
_IDLE: Final = 60.0
"""Seconds after which another node may claim what this one has in hand."""
_LOOK: Final = 5.0
"""Seconds between two looks for what a dead node left."""
_LEAVE_TIMEOUT: Final = 1.0
"""Seconds for giving the lease back; a successor otherwise waits for its end."""
_MS: Final = 1000
"""Milliseconds in a second: Redis counts in the former."""

# Take or renew a lease. KEYS: the lease. ARGV: the holder, milliseconds. 1 if it is the holder's.
_HOLD: Final = """\
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# Give a lease back. KEYS, ARGV as above.
_LEAVE: Final = """\
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlace:
    """Which stream and group, at which Redis (*url*); with *delete*, entries go once they are done.

    Nodes take from an *ordered* stream one at a time.
    """

    url: str = field(repr=False)
    stream: str
    group: str
    ordered: bool
    delete: bool


@asynccontextmanager
async def connect(place: StreamPlace, holder: str, faults: LoopFaults) -> AsyncIterator[Source]:
    """Open the stream at *place*, in an asyncio loop of its own; as `Connect`.

    *holder* names this node; *faults* counts the exceptions of the loop.
    """
    async with connector_loop(faults):
        client = RedisClient(place.url, prefix="", timeout=TIMEOUT)
        source = RedisStreamSource(client, place, holder)
        try:
            await source.begin()
            yield source
        finally:
            with trio.move_on_after(_LEAVE_TIMEOUT, shield=True):
                await source.leave()
            with trio.CancelScope(shield=True):
                await client.aclose()


class RedisStreamSource:
    """`Source` on *client*; made by `connect`."""

    def __init__(self, client: RedisClient, place: StreamPlace, holder: str) -> None:
        self._client = client
        self._place = place
        self._holder = holder
        self._lease = f"tocsin:connector:{place.stream}:{place.group}"
        self._held_at = trio.current_time() - _LEASE
        self._look_at = trio.current_time()
        self._pending = place.ordered
        """Whether there may be entries that were delivered and not acknowledged."""

    async def begin(self) -> None:
        """Make the group if it is missing, and take the lease of an ordered stream."""
        await self._make_group()
        await self._hold_lease()

    async def leave(self) -> None:
        """Give the lease back, so that a successor need not wait for its end. Never raises."""
        if self._place.ordered:
            try:
                await self._client.call(("EVAL", _LEAVE, 1, self._lease, self._holder))
            except BusUnavailable:
                return

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        await self._hold_lease()
        entries: Sequence[Any] = ()
        if self._pending:
            entries = await self._read("0", limit, None)
            self._pending = bool(entries)
        elif not self._place.ordered and trio.current_time() >= self._look_at:
            entries = await self._claim(limit)
            self._look_at = trio.current_time() + (0.0 if entries else _LOOK)
        if not entries:
            entries = await self._read(">", limit, min(wait, _BLOCK_MAX))
        return await self._readable(entries)

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        ids = [each.token for each in taken]
        if not ids:
            return
        commands: list[Command] = [("XACK", self._place.stream, self._place.group, *ids)]
        if self._place.delete:
            commands.append(("XDEL", self._place.stream, *ids))
        await self._call(*commands)

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        await self._hold_lease()
        if taken and not self._place.ordered:
            ids = [each.token for each in taken]
            stream, group = self._place.stream, self._place.group
            await self._call(("XCLAIM", stream, group, _CONSUMER, 0, *ids, "JUSTID"))

    async def skip(self, place: str) -> None:
        raise ValueError("every entry of a stream can be read")

    def alive(self) -> str | None:
        return None

    async def lag(self) -> int | None:
        [groups] = await self._call(("XINFO", "GROUPS", self._place.stream))
        for group in groups:
            said = dict(zip(group[::2], group[1::2], strict=True))
            if said.get(b"name") == self._place.group.encode():
                waiting = said.get(b"lag")
                return None if waiting is None else int(waiting) + int(said[b"pending"])
        return None

    # --- Commands --------------------------------------------------------------------------------

    async def _read(self, after: str, limit: int, block: float | None) -> Sequence[Any]:
        stream, group = self._place.stream, self._place.group
        waits = () if block is None else ("BLOCK", max(1, round(block * _MS)))
        command = (
            *("XREADGROUP", "GROUP", group, _CONSUMER, "COUNT", limit),
            *(*waits, "STREAMS", stream, after),
        )
        [reply] = await self._call(command)
        return [] if not reply else reply[0][1]

    async def _claim(self, limit: int) -> Sequence[Any]:
        stream, group = self._place.stream, self._place.group
        idle = round(_IDLE * _MS)
        command = ("XAUTOCLAIM", stream, group, _CONSUMER, idle, "0-0", "COUNT", limit)
        [reply] = await self._call(command)
        entries: Sequence[Any] = reply[1]
        return entries

    async def _make_group(self) -> None:
        stream, group = self._place.stream, self._place.group
        try:
            # From the first entry on: a group from "$" would lose what was written before.
            await self._call(("XGROUP", "CREATE", stream, group, "0", "MKSTREAM"))
        except SourceAway as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _hold_lease(self) -> None:
        now = trio.current_time()
        if not self._place.ordered or now - self._held_at < _LEASE / 3:
            return
        command = ("EVAL", _HOLD, 1, self._lease, self._holder, round(_LEASE * _MS))
        [ours] = await self._call(command)
        if not ours:
            raise SourceElsewhere
        self._held_at = now

    async def _call(self, *commands: Command) -> list[Any]:
        try:
            return await answered(self._client, self._place.stream, *commands)
        except SourceAway as error:
            if "NOGROUP" in str(error) or "UNBLOCKED" in str(error):
                # Flushed or deleted under us. The next incarnation makes the group anew.
                raise SourceAway("the stream or its group is gone") from error
            raise

    # --- Entries ---------------------------------------------------------------------------------

    async def _readable(self, entries: Sequence[Any]) -> list[BrokerMessage]:
        taken = [self._taken(id_, fields) for id_, fields in entries if fields is not None]
        # A pending entry that was trimmed away has no fields; acknowledged, it is not given again.
        gone = [id_ for id_, fields in entries if fields is None]
        if gone:
            await self._call(("XACK", self._place.stream, self._place.group, *gone))
        return taken

    def _taken(self, id_: bytes, fields: Sequence[bytes]) -> BrokerMessage:
        names = [name.decode(errors="replace").lower() for name in fields[::2]]
        pairs = list(zip(names, fields[1::2], strict=True))
        headers = read_headers(pair for pair in pairs if pair[0] != _BODY)
        name = f"{self._place.stream}/{id_.decode()}"
        return BrokerMessage(
            place=name,
            key=key_of(name),
            body=dict(pairs).get(_BODY, b""),
            token=id_,
            headers=headers,
            correlation=headers.get("correlation-id"),
            at=int(id_.partition(b"-")[0]),
        )
