"""Leases of connected devices, kept in this process: see `memory_bus`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from tocsin.persistence.bus import Connected, Lease, latest

Leases = dict[Lease, float]
"""Lease → the time at which it ends (Trio's clock, seconds)."""


class MemoryPresence:
    """`Presence` on *leases* that all nodes share; *reach* raises while they cannot be reached."""

    def __init__(self, leases: Leases, reach: Callable[[], Awaitable[None]]) -> None:
        self._leases = leases
        self._reach = reach

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        await self._reach()
        self._forget_ended()
        ends = trio.current_time() + seconds
        self._leases.update(dict.fromkeys(leases, ends))

    async def release(self, leases: Sequence[Lease]) -> None:
        await self._reach()
        for each in leases:
            self._leases.pop(each, None)

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        await self._reach()
        self._forget_ended()
        return latest(
            Connected(each.device, each.node, each.since)
            for each in self._leases
            if each.user == user
        )

    def _forget_ended(self) -> None:
        now = trio.current_time()
        for each in [lease for lease, ends in self._leases.items() if ends <= now]:
            del self._leases[each]
