"""Whether the store works: kept by the storage actor, looked at by everyone."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """Whether the store works, for everyone to look at; *epoch* is known once it has."""

    epoch: str = ""
    statistics: StorageStatistics = field(default_factory=StorageStatistics)
