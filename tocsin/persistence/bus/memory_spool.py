"""The spool, kept in this process: see `memory_bus`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from tocsin.persistence.bus import (
    CLAIM_LIFETIME,
    Appended,
    Claim,
    Replaying,
    SpoolDraft,
    SpoolEntry,
)


class Entries:
    """The spooled entries, claims and lease, which all nodes share."""

    def __init__(self) -> None:
        self.last = 0
        self.clear()

    def clear(self) -> None:
        self.waiting: dict[str, SpoolEntry] = {}
        self.poisoned: list[tuple[SpoolEntry, str]] = []
        self.claims: dict[str, tuple[Claim, float]] = {}
        self.holder: tuple[str, float] | None = None
        self.run = ""

    def append(self, draft: SpoolDraft) -> Claim | None:
        """Append *draft*, unless its key was claimed before; the earlier claim."""
        now = trio.current_time()
        if (claim := draft.claim) is not None:
            before, ends = self.claims.get(claim.key, (None, now))
            if before is not None and ends > now:
                return before
            if not draft.payload:
                return None
            self.claims[claim.key] = (claim, now + CLAIM_LIFETIME)
        self.last += 1
        entry = SpoolEntry(f"0-{self.last}", draft.payload)
        if not self.waiting:
            self.run = entry.id
        self.waiting[entry.id] = entry
        return None

    def is_held_from(self, node: str) -> bool:
        """Whether another node than *node* has the lease."""
        if self.holder is None:
            return False
        holder, ends = self.holder
        return holder != node and ends > trio.current_time()

    def find_aside(self, id_: str) -> tuple[SpoolEntry, str] | None:
        """The entry *id_* that was set aside, and the reason."""
        return next((each for each in self.poisoned if each[0].id == id_), None)


class MemorySpool:
    """`Spool` on *entries* that all nodes share; *reach* raises while they cannot be reached."""

    def __init__(self, entries: Entries, reach: Callable[[], Awaitable[None]]) -> None:
        self._entries = entries
        self._reach = reach

    async def append(self, drafts: Sequence[SpoolDraft]) -> Appended:
        await self._reach()
        earlier = tuple(map(self._entries.append, drafts))
        return Appended(self._entries.run if self._entries.waiting else "", earlier)

    async def take(self, node: str, limit: int, lease: float) -> Sequence[SpoolEntry] | None:
        await self._reach()
        entries = self._entries
        if entries.is_held_from(node):
            return None
        entries.holder = (node, trio.current_time() + lease)
        return list(entries.waiting.values())[:limit]

    async def done(self, node: str, ids: Sequence[str]) -> None:
        await self._reach()
        for id_ in ids:
            self._entries.waiting.pop(id_, None)

    async def poison(self, node: str, entries: Sequence[tuple[SpoolEntry, str]]) -> None:
        await self._reach()
        if self._entries.is_held_from(node):
            return
        for entry, reason in entries:
            if self._entries.waiting.pop(entry.id, None) is not None:
                self._entries.poisoned.insert(0, (entry, reason))

    async def poisoned(self, limit: int) -> Sequence[tuple[SpoolEntry, str]]:
        await self._reach()
        return self._entries.poisoned[:limit]

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        await self._reach()
        if (found := self._entries.find_aside(entry)) is None:
            return Replaying.ABSENT
        if found[0].fault and not vouched:
            return Replaying.REFUSED
        self._entries.poisoned.remove(found)
        self._entries.append(SpoolDraft(found[0].payload))
        return Replaying.DONE

    async def discard(self, entry: str) -> bool:
        await self._reach()
        if (found := self._entries.find_aside(entry)) is None:
            return False
        self._entries.poisoned.remove(found)
        return True

    async def size(self) -> int:
        await self._reach()
        return len(self._entries.waiting)
