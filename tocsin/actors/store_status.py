"""Whether the store works: kept by the storage actor, looked at by everyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


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
class StoreStatus:
    """Whether the store works, for everyone to look at; *epoch* is known once it has."""

    available: bool = False
    epoch: str = ""
    statistics: StorageStatistics = field(default_factory=StorageStatistics)
    watchers: list[Callable[[bool], None]] = field(default_factory=list)

    def set_available(self, available: bool) -> None:
        """Note a change and tell the watchers; nothing if it is none."""
        if available != self.available:
            self.available = available
            for watcher in self.watchers:
                watcher(available)
