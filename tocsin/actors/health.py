"""Whether the store and the bus work: one actor keeps each status, all others may read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from tocsin.actors.runtime.histogram import SIZES, Histogram


@dataclass(slots=True)
class HopStatus:
    """Whether one hop works. One actor sets it; the *watchers* are called at each change."""

    available: bool = False
    watchers: list[Callable[[bool], None]] = field(default_factory=list, kw_only=True)

    def set_available(self, available: bool) -> None:
        """Note whether the hop works, and call the watchers if that is a change.

        A watcher that raises keeps none of the others from being told; then its error is raised,
        in an `ExceptionGroup`.
        """
        if available == self.available:
            return
        self.available = available
        errors: list[Exception] = []
        for watcher in self.watchers:
            try:
                watcher(available)
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("watchers of a hop failed", errors)


# --- The store, kept by the storage actor -------------------------------------------------------


@dataclass(slots=True)
class StorageStatistics:
    """Counters since the node's start; *seconds* were spent waiting for transactions.

    *last* and *last_commands* are the seconds and the commands of the last transaction. *writes*
    and *read_batches* spread the time of each; *group* the commands of a transaction.
    """

    transactions: int = 0
    commands: int = 0
    reads: int = 0
    queries: int = 0
    statements: int = 0
    failures: int = 0
    seconds: float = 0.0
    last: float = 0.0
    last_commands: int = 0
    writes: Histogram = field(default_factory=Histogram)
    read_batches: Histogram = field(default_factory=Histogram)
    group: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def committed(self, commands: int, seconds: float) -> None:
        """Count a write transaction of so many *commands* and *seconds*."""
        self.transactions += 1
        self.commands += commands
        self.seconds += seconds
        self.last, self.last_commands = seconds, commands
        self.writes.observe(seconds)
        self.group.observe(commands)


@dataclass(slots=True)
class StoreStatus(HopStatus):
    """Whether the store works; *epoch* is known once it has worked.

    *reason* says why the store does not work, if clients may be told that; otherwise it is empty.
    The *unannounced* are called when a transaction may have been committed although its answer was
    lost, in which case no news of it was told: those who live on such news look into the store.
    """

    epoch: str = ""
    reason: str = ""
    statistics: StorageStatistics = field(default_factory=StorageStatistics)
    unannounced: list[Callable[[], None]] = field(default_factory=list, kw_only=True)
    _attempted: trio.Event = field(default_factory=trio.Event)

    def note_attempt(self) -> None:
        """Note that the storage actor has tried to open the store, with or without success."""
        self._attempted.set()

    async def wait_first_attempt(self) -> None:
        """Return once it is known whether the store can be used. Cancelling does no harm."""
        await self._attempted.wait()


# --- The bus, kept by the cluster bridge ----------------------------------------------------------


@dataclass(slots=True)
class BusStatistics:
    """Counters since the node's start.

    *said* and *heard* count envelopes, *dropped* the envelopes for which the outbox had no room,
    *unreadable* those of this cluster that this release does not know. *found* counts users whose
    log was further than this node had been told, because the news did not come over the bus in
    time. *seconds* spreads the time from a sign of life that the node gave to its hearing it.
    *refused* counts values in Redis that this cluster did not write, by their kind and by the
    reason for which they were refused.
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
    seconds: Histogram = field(default_factory=Histogram)
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class BusStatus(HopStatus):
    """Whether the bus works. A node without a bus needs none, so there it always works."""

    available: bool = True
    statistics: BusStatistics = field(default_factory=BusStatistics)
