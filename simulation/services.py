"""The store and the broker that all nodes share, each node's way to them, and how those fail.

The store is the production's SQLite, in memory and run inline: a commit is one step that happens or
does not. What a real store adds is put around it: time before and after, refusals, silence, and
commits whose answers are lost. The broker is the production's memory broker with a network in front
of each node that hears it: what is said takes its time, gets lost, or comes twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from simulation.chance import Chance
from simulation.scheduling import Process
from simulation.timeline import Timeline
from tocsin.persistence.bus import Said
from tocsin.persistence.memory_bus import MemoryBroker
from tocsin.persistence.sqlite import MEMORY, SqliteStore
from tocsin.persistence.store import (
    Answer,
    Command,
    Query,
    Result,
    StoreUnavailable,
)

T = TypeVar("T")

_STORE_DELAY = 0.0002, 0.002
"""Seconds to the store and back, each way: the least, and what comes on top at the most."""
_BUS_DELAY = 0.0002, 0.003


@dataclass(slots=True)
class StoreHealth:
    """What is wrong with the store, for all nodes or for those in *cut*."""

    away: bool = False
    hangs: bool = False
    """Whether those who ask when it is away get no answer, instead of a refusal."""
    full: bool = False
    cut: set[str] = field(default_factory=set)
    fails: dict[str, int] = field(default_factory=dict)
    """By node: in how many calls one fails before anything is done."""
    loses: dict[str, int] = field(default_factory=dict)
    """By node: in how many commits one happens whose answer never comes."""

    def is_away_for(self, node: str) -> bool:
        return self.away or node in self.cut


class SharedStore(SqliteStore):
    """Outlives the nodes that use it."""

    def __init__(self, chance: Chance) -> None:
        super().__init__(MEMORY, inline=True, entropy=chance.randbytes)
        self.health = StoreHealth()


class StoreWay:
    """One process's way to the store; *patience* in seconds, as a database driver has it."""

    def __init__(
        self,
        store: SharedStore,
        node: str,
        process: Process,
        timeline: Timeline,
        chance: Chance,
        patience: float,
    ) -> None:
        self._store = store
        self._health = store.health
        self._node = node
        self._process = process
        self._timeline = timeline
        self._chance = chance
        self._patience = patience

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def statements_run(self) -> int:
        return self._store.statements_run

    async def open(self) -> None:
        await self._call(self._store.open, writes=False)

    async def write(self, commands: Sequence[Command]) -> list[Result]:
        return await self._call(lambda: self._store.write(commands), writes=True)

    async def read(self, queries: Sequence[Query]) -> list[Answer]:
        return await self._call(lambda: self._store.read(queries), writes=False)

    async def probe(self) -> None:
        await self._call(self._store.probe, writes=True)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _call(self, work: Callable[[], Awaitable[T]], *, writes: bool) -> T:
        health = self._health
        await self._travel()
        await self._check()
        if writes and health.full:
            raise StoreUnavailable("the disk is full", readable=True)
        if _counts_down(health.fails, self._node):
            raise StoreUnavailable("the connection broke")
        if self._process.is_dead:
            raise StoreUnavailable("this process is dead")
        done = await work()
        if writes and _counts_down(health.loses, self._node):
            raise StoreUnavailable("the connection broke after the commit")
        await self._travel()
        await self._check()
        return done

    async def _travel(self) -> None:
        least, more = _STORE_DELAY
        await self._timeline.sleep(least + more * self._chance.random())

    async def _check(self) -> None:
        if self._health.is_away_for(self._node):
            if self._health.hangs:
                await self._timeline.sleep(self._patience)
            raise StoreUnavailable("the store is away")


def _counts_down(counters: dict[str, int], node: str) -> bool:
    """Whether this is the call that was counted down to."""
    left = counters.pop(node, 0)
    if left > 1:
        counters[node] = left - 1
    return left == 1


class SimulatedBroker(MemoryBroker):
    """What one node says reaches the others later, in order; *lost* and *doubled* by chance."""

    def __init__(self, timeline: Timeline, chance: Chance) -> None:
        super().__init__()
        self._timeline = timeline
        self._chance = chance
        self._arrivals: dict[str, float] = {}
        self.lost = 0.0
        """The probability that a message does not reach a node."""
        self.doubled = 0.0
        """The probability that it reaches a node twice."""
        self.delay_max = 0.0
        """Seconds on top of what the network takes, at the most."""

    def tell(self, said: Said) -> None:
        """Send *said* to all who hear; it arrives unless they cannot hear then either."""
        for node in self._buses:
            if self.hears(node) and not (self.lost and self._chance.happens(self.lost)):
                self._send(node, said)
                if self.doubled and self._chance.happens(self.doubled):
                    self._send(node, said)

    async def reach(self, node: str) -> None:
        """A round trip; raises if *node* is cut off by then."""
        least, more = _BUS_DELAY
        await self._timeline.sleep(2 * least + more * self._chance.random())
        await super().reach(node)

    def forget(self, node: str) -> None:
        """*node* has ended for good."""
        self._buses.pop(node, None)
        self._arrivals.pop(node, None)
        self.cut(node)

    def _send(self, node: str, said: Said) -> None:
        least, more = _BUS_DELAY
        due = trio.current_time() + least + (more + self.delay_max) * self._chance.random()
        self._arrivals[node] = due = max(due, self._arrivals.get(node, 0.0))
        self._timeline.at(due, self._arrive, node, said)

    def _arrive(self, node: str, said: Said) -> None:
        if node in self._buses and self.hears(node):
            self._buses[node].hear(said)
