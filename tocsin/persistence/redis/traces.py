"""The values in Redis that may name a person, for commands that look for one.

Nodes read the spool from its beginning and show operators excerpts; a search reads all of it, in
pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from tocsin.persistence.redis.client import RedisClient, Reply
from tocsin.persistence.redis.spool import SpoolKeys
from tocsin.protocol.cluster.seals import Purpose, Seals

_PAGE: Final = 16
"""Entries of one reply: each may have megabytes."""
_KEYS_MAX: Final = 1000
"""Keys of one command: more would keep Redis busy, and other clients waiting."""


class SetAside(NamedTuple):
    """An entry in the *list* of those set aside, where its id is *id*; *entry* is the one that it
    had in the stream. One that is *foreign* was not written by a node of this cluster."""

    list: str
    id: bytes
    entry: bytes
    payload: bytes
    reason: bytes
    foreign: bool


class RedisTraces:
    """The values in *client*'s Redis; *seals* are those of the cluster. Raises `BusUnavailable`."""

    def __init__(self, client: RedisClient, seals: Seals) -> None:
        self._client = client
        self._keys = SpoolKeys.under(client.prefix)
        self._seal = seals[Purpose.ASIDE]

    async def waiting(self) -> AsyncIterator[bytes]:
        """The payloads of all entries that wait, in their order."""
        async for _, fields in self._entries(self._keys.stream):
            yield fields.get(b"payload", b"")

    async def set_aside(self) -> AsyncIterator[SetAside]:
        """All entries that were set aside. Each may be removed or replaced meanwhile; what replaces
        it comes again, at the end."""
        for list_ in (self._keys.poisoned, self._keys.foreign):
            async for id_, fields in self._entries(list_):
                entry, payload = fields.get(b"id", id_), fields.get(b"payload", b"")
                reason = fields.get(b"reason", b"")
                yield SetAside(list_, id_, entry, payload, reason, list_ == self._keys.foreign)

    async def remove(self, aside: SetAside) -> None:
        await self._client.call(("XDEL", aside.list, aside.id))

    async def replace(self, aside: SetAside, payload: bytes) -> None:
        """Have *payload* in the place of *aside*'s."""
        seal = self._seal.of(aside.entry, payload).hex()
        fields = ("id", aside.entry, "payload", payload, "reason", aside.reason, "seal", seal)
        await self._client.call(("XADD", aside.list, "*", *fields), ("XDEL", aside.list, aside.id))

    def claim(self, credential: str, key: str) -> str:
        """The key of the claim on the idempotency key *key* of *credential*."""
        return f"{self._keys.claims}{credential} {key}"

    def presence(self, user: str) -> str:
        """The key of *user*'s leases."""
        return f"{self._client.prefix}presence:{user}"

    async def count(self, keys: Sequence[str]) -> int:
        """How many of *keys* are there."""
        return await self._on_keys("EXISTS", keys)

    async def unlink(self, keys: Sequence[str]) -> None:
        await self._on_keys("UNLINK", keys)

    async def _on_keys(self, command: str, keys: Sequence[str]) -> int:
        total = 0
        for start in range(0, len(keys), _KEYS_MAX):
            [count] = await self._client.call((command, *keys[start : start + _KEYS_MAX]))
            total += count
        return total

    async def _entries(self, stream: str) -> AsyncIterator[tuple[bytes, dict[bytes, bytes]]]:
        after: Any = "-"
        while page := await self._page(stream, after):
            for id_, fields in page:
                yield id_, dict(zip(fields[::2], fields[1::2], strict=True))
            after = b"(" + page[-1][0]

    async def _page(self, stream: str, after: str | bytes) -> Reply:
        command = ("XRANGE", stream, after, "+", "COUNT", _PAGE)
        [page] = await self._client.call_on({stream: "stream"}, command)
        return page
