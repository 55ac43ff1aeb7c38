"""Whether the store works: kept by the storage actor, looked at by everyone."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from tocsin.actors.hop_status import HopStatus


@dataclass(slots=True)
class StorageStatistics:
    """Counters since the node's start; *seconds* were spent waiting for transactions."""

    transactions: int = 0
    commands: int = 0
    reads: int = 0
    queries: int = 0
    statements: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class StoreStatus(HopStatus):
    """Whether the store works, for everyone to look at; *epoch* is known once it has.

    *reason* says why it does not, where that is for everybody; empty otherwise.
    """

    epoch: str = ""
    reason: str = ""
    statistics: StorageStatistics = field(default_factory=StorageStatistics)
    _attempted: trio.Event = field(default_factory=trio.Event)

    def note_attempt(self) -> None:
        """The store has been opened, or could not be."""
        self._attempted.set()

    async def wait_first_attempt(self) -> None:
        """Return once it is known whether the store can be used; cancelling does no harm."""
        await self._attempted.wait()
