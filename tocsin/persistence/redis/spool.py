"""The spool in Redis: a stream of entries, and a lease of the node that takes from it.

Only the node with the lease takes entries, always the oldest first. So entries that a dead node
took and did not finish come before those that no node has seen. An entry is deleted when it is in
the store; the stream is never trimmed otherwise. Its durability is that of the server's data: see
the append-only file in docs/cluster.md.

Other programs may be able to write to Redis. So entries and claims carry a seal of this cluster
(`seals`). A claim without it is removed. An entry without it, or of another shape, is taken with
its *fault*, and set aside in a list of its own, where it does not push out entries that the store
has refused. The seal covers the entry's time, which must be close to its id. An old sealed entry
that is written to the stream again therefore comes too late, or while the store still knows that it
was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tocsin.persistence.bus import (
    CLAIM_LIFETIME,
    Appended,
    BusUnavailable,
    Claim,
    Replaying,
    SpoolDraft,
    SpoolEntry,
)
from tocsin.persistence.redis import scripts
from tocsin.persistence.redis.client import Command, RedisClient, Reply, key_needed
from tocsin.protocol.cluster.seals import Purpose, Seals

POISONED_MAX: Final = 10_000
"""Entries of ours that stay set aside; the oldest go first. Each one is an incident, so they are
few."""
FOREIGN_MAX: Final = 500
"""Entries that are not ours and stay set aside: few, because other programs can make any number."""
IDS_MAX: Final = 1000
"""Entries that one command deletes: more would keep Redis busy, and other clients waiting."""
CLOCKS_MAX: Final = 3600.0
"""Seconds that the clocks of a node and of Redis may differ; beyond, nothing is spooled."""
_MISPLACED: Final = (CLOCKS_MAX + scripts.AHEAD_MAX) * 1000
_ATTEMPTS: Final = 3
"""Attempts to append, each after the claims of strangers were removed; more would only serve an
attacker."""
_MS: Final = 1000
"""Milliseconds in a second: Redis counts in the former."""


class SpoolKeys(NamedTuple):
    """The keys of the spool in Redis; *claims* is what those of claims begin with."""

    stream: str
    poisoned: str
    foreign: str
    lease: str
    run: str
    claims: str

    @classmethod
    def under(cls, prefix: str) -> SpoolKeys:
        spool = f"{prefix}spool"
        names = ("poisoned", "foreign", "lease", "run", "claim:")
        return cls(spool, *(f"{spool}:{name}" for name in names))


class RedisSpool:
    """`Spool` on *client*; *now_ms* is wall time (Unix milliseconds).

    Claims are remembered for *claim_lifetime* seconds, at least for `CLAIM_LIFETIME`.
    """

    def __init__(
        self,
        client: RedisClient,
        seals: Seals,
        now_ms: Callable[[], int],
        claim_lifetime: float = CLAIM_LIFETIME,
    ) -> None:
        self._claim_lifetime = max(CLAIM_LIFETIME, claim_lifetime)
        self._client = client
        self._entries = seals[Purpose.SPOOL]
        self._aside = seals[Purpose.ASIDE]
        self._claimed = seals[Purpose.CLAIM]
        self._now_ms = now_ms
        keys = SpoolKeys.under(client.prefix)
        self._stream, self._poisoned, self._foreign = keys.stream, keys.poisoned, keys.foreign
        self._lease, self._run, self._claims = keys.lease, keys.run, keys.claims
        self._lists = {self._poisoned: POISONED_MAX, self._foreign: FOREIGN_MAX}
        self._kinds = {
            self._stream: "stream",
            self._poisoned: "stream",
            self._foreign: "stream",
            self._lease: "string",
            self._run: "string",
        }

    async def append(self, drafts: Sequence[SpoolDraft]) -> Appended:
        if any(len(each.payload) > scripts.ENTRY_BYTES_MAX for each in drafts):
            raise BusUnavailable("the entry to be spooled is too large")
        earlier: list[Claim | None] = [None] * len(drafts)
        left = list(range(len(drafts)))
        for _ in range(_ATTEMPTS):
            run, found = await self._append([drafts[number] for number in left])
            foreign = []
            for number, reply in zip(left, found, strict=True):
                if reply is not None:
                    earlier[number] = claim = self._read_claim(drafts[number], reply)
                    if claim is None:
                        foreign.append(number)
            if not foreign:
                return Appended(run, tuple(earlier))
            # These drafts were not appended, because another program has claimed their keys. They
            # are appended in the next attempt, behind the others.
            await self._forget_claims([drafts[number] for number in foreign])
            left = foreign
        raise BusUnavailable("another client of Redis claims the idempotency keys of producers")

    async def take(self, node: str, limit: int, lease: float) -> Sequence[SpoolEntry] | None:
        command = self._script(
            scripts.TAKE, (self._stream, self._lease), node, round(lease * _MS), limit
        )
        [entries] = await self._client.call_on(self._kinds, command)
        if entries is None:
            return None
        with key_needed():
            return [self._read_entry(*each) for each in entries]

    async def done(self, node: str, ids: Sequence[str]) -> None:
        parts = (ids[start : start + IDS_MAX] for start in range(0, len(ids), IDS_MAX))
        commands = [("XDEL", self._stream, *part) for part in parts]
        await self._client.call_on(self._kinds, *commands)

    async def poison(self, node: str, entries: Sequence[tuple[SpoolEntry, str]]) -> None:
        lists = tuple(self._lists)
        arguments: list[Command] = []
        for entry, reason in entries:
            place = lists.index(self._foreign if entry.fault else self._poisoned)
            payload, seal = self._put_aside(entry)
            first_list = 3
            arguments.append(
                (str(place + first_list), str(self._lists[lists[place]]), entry.id, payload,
                 reason, seal)
            )  # fmt: skip
            if entry.fault:
                self._client.refusals.add("spool_entry", entry.fault)
        keys = (self._stream, self._lease, *lists)
        flat = [part for each in arguments for part in each]
        await self._client.call_on(self._kinds, self._script(scripts.PUT_ASIDE, keys, node, *flat))

    async def poisoned(self, limit: int) -> Sequence[tuple[SpoolEntry, str]]:
        lists = tuple(self._lists)
        command = self._script(scripts.SHOW, lists, limit, *self._lists.values())
        [found] = await self._client.call_on(self._kinds, command)
        found.sort(key=lambda each: _place(_text(each[0])), reverse=True)
        return [
            (SpoolEntry(_text(id_), payload), _text(reason))
            for _, id_, payload, reason in found[:limit]
        ]

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        if (found := await self._find(entry)) is None:
            return Replaying.ABSENT
        list_, id_, payload, seal = found
        with key_needed():
            if not self._aside.fits(seal, entry.encode(), payload):
                return Replaying.REFUSED
            if list_ == self._foreign and not vouched:
                return Replaying.REFUSED
            sealed = self._sealed(payload)
        keys = (self._stream, self._run, list_)
        command = self._script(scripts.REPLAY, keys, id_, payload, *sealed)
        [was_there] = await self._client.call_on(self._kinds, command)
        return Replaying.DONE if was_there else Replaying.ABSENT

    async def discard(self, entry: str) -> bool:
        if (found := await self._find(entry)) is None:
            return False
        list_, id_, *_ = found
        [deleted] = await self._client.call_on(self._kinds, ("XDEL", list_, id_))
        return bool(deleted)

    async def size(self) -> int:
        [length] = await self._client.call_on(self._kinds, ("XLEN", self._stream))
        return int(length)

    # --- Entries ----------------------------------------------------------------------------------

    def _sealed(self, payload: bytes) -> tuple[str, str]:
        """The present time (Unix ms, as text) and the seal of it and *payload*."""
        at = str(self._now_ms())
        return at, self._entries.of(at.encode(), payload).hex()

    def _read_entry(
        self, id_: bytes, fault: bytes, payload: bytes, at: bytes = b"", seal: bytes = b""
    ) -> SpoolEntry:
        if fault:
            return SpoolEntry(_text(id_), payload, _text(fault))
        return SpoolEntry(_text(id_), payload, self._fault(_text(id_), payload, at, seal))

    def _fault(self, id_: str, payload: bytes, at: bytes, seal: bytes) -> str:
        if not seal:
            return "unsealed"
        if not self._entries.fits(_from_hex(seal), at, payload):
            return "forged"
        # The seal fits, so *at* is the number that a node has written, and can be parsed.
        return "misplaced" if abs(_place(id_)[0] - int(at)) > _MISPLACED else ""

    def _put_aside(self, entry: SpoolEntry) -> tuple[bytes, str]:
        """The payload of *entry* to be kept, and its seal; no seal if the payload is cut off."""
        payload = entry.payload
        if entry.fault:
            payload = payload[: scripts.FOREIGN_BYTES_MAX]
            if len(payload) < len(entry.payload) or entry.fault in ("no_payload", "too_large"):
                return payload, ""
        return payload, self._aside.of(entry.id.encode(), payload).hex()

    async def _find(self, entry: str) -> tuple[str, bytes, bytes, bytes] | None:
        """The list in which *entry* was set aside, its id there, its payload and its seal."""
        lists = tuple(self._lists)
        command = self._script(scripts.FIND, lists, entry, *self._lists.values())
        [found] = await self._client.call_on(self._kinds, command)
        if found is None:
            return None
        number, id_, payload, seal = found
        return lists[number - 1], id_, payload, _from_hex(seal)

    # --- Claims -----------------------------------------------------------------------------------

    async def _append(self, drafts: Sequence[SpoolDraft]) -> tuple[str, Sequence[Reply]]:
        keys, kinds = [self._stream, self._run], dict(self._kinds)
        with key_needed():
            at = str(self._now_ms())
            arguments: list[bytes | str | int] = [
                *(round(self._claim_lifetime * _MS), at, round(CLOCKS_MAX * _MS))
            ]
            for draft in drafts:
                seal = self._entries.of(at.encode(), draft.payload).hex()
                arguments += (draft.payload, seal)
                if (claim := draft.claim) is None:
                    arguments.append("")
                    continue
                key = self._claims + claim.key
                keys.append(key)
                kinds[key] = "hash"
                sealed = self._seal_of_claim(claim.key, claim.fingerprint, claim.answer.encode())
                arguments += ("claimed", claim.fingerprint, claim.answer, sealed.hex())
        command = self._script(scripts.APPEND, keys, *arguments)
        [(run, earlier)] = await self._client.call_on(kinds, command)
        return _text(run), earlier

    def _read_claim(self, draft: SpoolDraft, reply: Sequence[bytes]) -> Claim | None:
        """The claim in *reply*, or `None` if it has no seal of this cluster."""
        assert draft.claim is not None
        key = draft.claim.key
        fingerprint, answer, seal = reply
        if _from_hex(seal) != self._seal_of_claim(key, fingerprint, answer):
            self._client.refusals.add("claim", "forged" if seal else "unsealed")
            return None
        return Claim(key, fingerprint, answer.decode())

    async def _forget_claims(self, drafts: Sequence[SpoolDraft]) -> None:
        keys = [self._claims + each.claim.key for each in drafts if each.claim is not None]
        await self._client.call(("UNLINK", *keys))

    def _seal_of_claim(self, key: str, fingerprint: bytes, answer: bytes) -> bytes:
        thing = len(fingerprint).to_bytes(4) + fingerprint + answer
        return self._claimed.of(key.encode(), thing)

    @staticmethod
    def _script(text: str, keys: Sequence[str], *arguments: str | bytes | int) -> Command:
        return ("EVAL", text, len(keys), *keys, *arguments)


def _text(reply: bytes) -> str:
    return reply.decode(errors="replace")


def _from_hex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


def _place(id_: str) -> tuple[int, int]:
    """The two numbers of the id *id_*, by which entries are ordered: milliseconds and a counter."""
    milliseconds, _, number = id_.partition("-")
    return int(milliseconds), int(number)
