"""The store and the broker that all nodes share, each node's way to them, and how those fail.

The store is the production's SQLite, in memory and run inline: a commit is one step that happens or
does not. What a real store adds is put around it: time before and after, refusals, silence, and
commits whose answers are lost. The broker is the production's memory broker with a network in front
of each node that hears it: what is said takes its time, gets lost, or comes twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import trio

from simulation.world.chance import Chance
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.persistence.bus import Appended, BusUnavailable, Draft, Entry, Said
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_spool import MemorySpool
from tocsin.persistence.sqlite.store import MEMORY, SqliteStore
from tocsin.persistence.store import (
    Command,
    Query,
    Result,
    StoreUnavailable,
)

T = TypeVar("T")

_STORE_DELAY = 0.0004, 0.004
"""Seconds to the store and back: the least, and what comes on top at the most."""
_BUS_DELAY = 0.0002, 0.003

REFUSES: Final = "refuses"
HANGS: Final = "hangs"
"""How a service is away: it says so at once, or says nothing."""


@dataclass(slots=True)
class StoreHealth:
    """What is wrong with the store, for all nodes or for some."""

    away: dict[str, str] = field(default_factory=dict)
    """For whom it is away, by node (everybody is `""`), and how: it `refuses`, or it `hangs`."""
    full: bool = False
    slow: float = 0.0
    """Seconds on top of what a call takes, at the most."""
    fails: dict[str, int] = field(default_factory=dict)
    """By node: in how many calls one fails before anything is done."""
    loses: dict[str, int] = field(default_factory=dict)
    """By node: in how many commits one happens whose answer never comes."""

    def ails(self, node: str) -> str | None:
        """How it is away for *node*, if it is."""
        return self.away.get("") or self.away.get(node)


class SharedStore(SqliteStore):
    """Outlives the nodes that use it."""

    def __init__(self, chance: Chance) -> None:
        super().__init__(MEMORY, inline=True, entropy=chance.randbytes)
        self.health = StoreHealth()
        self.transactions = 0
        """Those that were asked for."""

    async def _call(self, work: Callable[[], T]) -> T:
        # Without the checkpoint: whoever calls waits for the way back.
        return self._guarded(work)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What is committed, for the checks: beside all that nodes do, and at no time at all."""
        return self._connected().execute(sql, parameters).fetchall()


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
    def secret(self) -> str:
        return self._store.secret

    @property
    def statements_run(self) -> int:
        return self._store.statements_run

    async def open(self) -> None:
        await self._call(self._store.open, writes=False)

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        self._store.transactions += 1
        return await self._call(lambda: self._store.write(commands, hurried=hurried), writes=True)

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        return await self._call(lambda: self._store.read(queries), writes=False)

    async def probe(self) -> None:
        await self._call(self._store.probe, writes=True)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _call(self, work: Callable[[], Awaitable[T]], *, writes: bool) -> T:
        # All the time that it takes passes between the work and its answer. Before the work it
        # would change nothing: who dies or is cut off on the way there might have been so before.
        health = self._health
        if health.away:
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
        least, more = _STORE_DELAY
        await self._timeline.sleep(least + (more + health.slow) * self._chance.random())
        if health.away:
            await self._check()
        return done

    async def _check(self) -> None:
        if (ails := self._health.ails(self._node)) is not None:
            if ails == HANGS:
                await self._timeline.sleep(self._patience)
            raise StoreUnavailable("the store is away")


def _counts_down(counters: dict[str, int], node: str) -> bool:
    """Whether this is the call that was counted down to."""
    left = counters.pop(node, 0)
    if left > 1:
        counters[node] = left - 1
    return left == 1


class SimulatedBroker(MemoryBroker):
    """What one node says reaches the others later, in order; *lost* and *doubled* by chance.

    Those it knows are processes, called `<node>#<number>`: what is wrong with a node's way is wrong
    for the next process there as well. *patience* is how long one waits for an answer.
    """

    def __init__(self, timeline: Timeline, chance: Chance, patience: float) -> None:
        super().__init__()
        self._timeline = timeline
        self._chance = chance
        self._patience = patience
        self._arrivals: dict[str, float] = {}
        self.away: dict[str, str] = {}
        """As the store's."""
        self.lost = 0.0
        """The probability that a message does not reach a node."""
        self.doubled = 0.0
        """The probability that it reaches a node twice."""
        self.delayed = 0.0
        """Seconds on top of what the network takes, at the most."""

    @property
    def spooled(self) -> int:
        """How many entries wait in the spool."""
        return len(self._entries.waiting)

    def spool(self, node: str) -> MemorySpool:
        return _FarSpool(self._entries, lambda: self.reach(node))

    def lose(self, target: str, how: str) -> None:
        """It is away, for the node *target* or for all (empty)."""
        self.away[target] = how

    def regain(self, target: str) -> None:
        """It is back, with its data; whom it was away for subscribe again."""
        del self.away[target]
        for process in self._buses:
            if target in ("", _host(process)):
                self._resubscribe(process)

    def tell(self, said: Said) -> None:
        """Send *said* to all who hear; it arrives unless they cannot hear then either."""
        for process in self._buses:
            if self.hears(process) and not (self.lost and self._chance.happens(self.lost)):
                self._send(process, said)
                if self.doubled and self._chance.happens(self.doubled):
                    self._send(process, said)

    async def reach(self, node: str) -> None:
        """A round trip; raises if *node* cannot get through by then."""
        least, more = _BUS_DELAY
        await self._timeline.sleep(2 * least + more * self._chance.random())
        if self.away and self._ails(node) == HANGS:
            await self._timeline.sleep(self._patience)
            raise BusUnavailable("no answer from the broker")
        if not self._is_reached_by(node):
            raise BusUnavailable("the broker is away")

    def forget(self, process: str) -> None:
        """*process* has ended for good."""
        self._buses.pop(process, None)
        self._arrivals.pop(process, None)
        self.cut(process)

    def _ails(self, process: str) -> str | None:
        return self.away.get("") or self.away.get(_host(process))

    def _is_reached_by(self, node: str) -> bool:
        return super()._is_reached_by(node) and not (self.away and self._ails(node))

    def _send(self, process: str, said: Said) -> None:
        least, more = _BUS_DELAY
        due = self._timeline.now + least + (more + self.delayed) * self._chance.random()
        self._arrivals[process] = due = max(due, self._arrivals.get(process, 0.0))
        self._timeline.at(due, self._arrive, process, said)

    def _arrive(self, process: str, said: Said) -> None:
        if process in self._buses and self.hears(process):
            self._buses[process].hear(said)


def _host(process: str) -> str:
    return process.partition("#")[0]


class _FarSpool(MemorySpool):
    """A spool that answers from afar: what was done may be done, and nobody told."""

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        appended = await super().append(drafts)
        await self._reach()
        return appended

    async def take(self, node: str, limit: int, lease: float) -> Sequence[Entry] | None:
        entries = await super().take(node, limit, lease)
        await self._reach()
        return entries

    async def done(self, node: str, ids: Sequence[str]) -> None:
        await super().done(node, ids)
        await self._reach()
