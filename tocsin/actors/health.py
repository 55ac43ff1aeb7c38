"""Whether the store and the bus work: each kept by one actor, looked at by everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio


@dataclass(slots=True)
class HopStatus:
    """Kept by one actor; *watchers* are told of each change."""

    available: bool = False
    watchers: list[Callable[[bool], None]] = field(default_factory=list, kw_only=True)

    def set_available(self, available: bool) -> None:
        """Note a change and tell the watchers; nothing if it is none."""
        if available != self.available:
            self.available = available
            for watcher in self.watchers:
                watcher(available)


# --- The store, kept by the storage actor -------------------------------------------------------


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


# --- The bus, kept by the cluster bridge ----------------------------------------------------------


@dataclass(slots=True)
class BusStatistics:
    """Counters since the node's start.

    *said* and *heard* are envelopes, *dropped* those that there was no room to say, *unreadable*
    those of this cluster that this release does not know. *found* are users whose log was further
    than this node had been told: news that did not come over the bus in time. *refused* is what was
    found in Redis that is not of this cluster: what it was, and why it was refused.
    """

    said: int = 0
    heard: int = 0
    dropped: int = 0
    unreadable: int = 0
    gaps: int = 0
    failures: int = 0
    losses: int = 0
    reconciliations: int = 0
    found: int = 0
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class BusStatus(HopStatus):
    """Whether the bus works; always, for a node that has none and needs none."""

    available: bool = True
    statistics: BusStatistics = field(default_factory=BusStatistics)
