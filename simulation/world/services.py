"""The store and the broker that all nodes share, each node's way to them, and how they fail.

The store is the product's SQLite adapter, in memory and inline: a commit is one step, which happens
or does not. `FaultyStoreWay` adds what a remote store adds: time before and after, refusals,
silence, and commits whose answers are lost. The broker is the product's memory broker with a
network in front of each node, in which messages are delayed, lost or doubled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from simulation.world.chance import Chance
from simulation.world.scheduling import Process
from simulation.world.store_way import StoreWay
from simulation.world.timeline import Timeline
from simulation.world.transaction_ids import TransactionIds
from tocsin.persistence.bus import Appended, BusUnavailable, Said, SpoolDraft, SpoolEntry
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_spool import MemorySpool
from tocsin.persistence.sqlite.store import MEMORY, SqliteStore
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.results import Result
from tocsin.protocol.cluster.envelopes import CONTROL

T = TypeVar("T")

_STORE_DELAY = 0.0004, 0.004
"""Seconds to the store and back: the minimum, and the most that is added by chance."""
_BUS_DELAY = 0.0002, 0.003
"""The same one way to the broker."""

REFUSES: Final = "refuses"
HANGS: Final = "hangs"
"""The two ways in which a service is away: it refuses at once, or it never answers."""


@dataclass(slots=True)
class StoreHealth:
    """The faults of the store, for all nodes or for some."""

    away: dict[str, str] = field(default_factory=dict)
    """By node (`""` for all nodes), how the store is away: it `refuses` or it `hangs`."""
    full: bool = False
    slow: float = 0.0
    """The most seconds that are added to a call by chance."""
    fails: dict[str, int] = field(default_factory=dict)
    """By node: the number of calls after which one fails before anything is done."""
    loses: dict[str, int] = field(default_factory=dict)
    """By node: the number of commits after which one happens, but its answer is lost."""

    def ails(self, node: str) -> str | None:
        """How the store is away for *node*: `refuses` or `hangs`; `None` if it is there."""
        return self.away.get("") or self.away.get(node)


class StoreWitness(Protocol):
    """Sees each transaction, as it is asked for and when it is committed; it may read the store."""

    def before(self, commands: Sequence[Command[Any]]) -> None:
        """*commands* are about to be written in one transaction."""

    def after(self, commands: Sequence[Command[Any]], results: Sequence[Result]) -> None:
        """They were committed, with these *results*, which their node may not live to see."""


class SharedStore(SqliteStore):
    """The store of all nodes; it stays open when one of them closes its way to it."""

    def __init__(self, chance: Chance, clock: Callable[[], int]) -> None:
        super().__init__(
            MEMORY, inline=True, entropy=chance.randbytes, clock=clock, footprints=True
        )
        self._ids = TransactionIds(chance)
        self.health = StoreHealth()
        self.transactions = 0
        """The number of transactions that nodes have asked for."""
        self.witnesses: list[StoreWitness] = []

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        for witness in self.witnesses:
            witness.before(commands)
        results = await super().write(commands, hurried=hurried)
        for witness in self.witnesses:
            witness.after(commands, results)
        return results

    async def _call(self, work: Callable[[], T]) -> T:
        # Without the checkpoint of `SqliteStore`: a node waits in `FaultyStoreWay` instead.
        return self._guarded(work)

    def _write(self, commands: Sequence[Command[Any]]) -> list[Result]:
        results = super()._write(commands)
        self._ids.give_out(self._connected())
        return results

    def _read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        return [self._ids.seen(answer) for answer in super()._read(queries)]

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Committed rows, for the checks; the query takes no time and disturbs no node."""
        return self._connected().execute(sql, parameters).fetchall()


class FaultyStoreWay(StoreWay[SharedStore]):
    """One process's way to the store; *patience* is the driver's time-out in seconds."""

    def __init__(
        self,
        store: SharedStore,
        node: str,
        process: Process,
        timeline: Timeline,
        chance: Chance,
        patience: float,
    ) -> None:
        super().__init__(store)
        self._health = store.health
        self._node = node
        self._process = process
        self._timeline = timeline
        self._chance = chance
        self._patience = patience

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        self._store.transactions += 1
        return await super().write(commands, hurried=hurried)

    async def _call(self, work: Callable[[], Awaitable[T]], *, writes: bool) -> T:
        # The whole delay lies between the work and its answer. A delay before the work would add
        # nothing: a process that dies or is cut off in it could as well have died before the call.
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
    """Count down the counter of *node*; true for the call that brings it to zero."""
    left = counters.pop(node, 0)
    if left > 1:
        counters[node] = left - 1
    return left == 1


class SimulatedBroker(MemoryBroker):
    """A broker whose messages arrive later, in order, and are *lost* and *doubled* by chance.

    Its members are processes, called `<node>#<number>`; a fault of a node's way to the broker
    concerns the node's next process too. *patience* is the seconds for which a node waits for an
    answer.
    """

    def __init__(self, timeline: Timeline, chance: Chance, patience: float) -> None:
        super().__init__()
        self._timeline = timeline
        self._chance = chance
        self._patience = patience
        self._arrivals: dict[str, float] = {}
        self.away: dict[str, str] = {}
        """By node (`""` for all nodes), how the broker is away; as in `StoreHealth.away`."""
        self.lost = 0.0
        """The probability that a message does not reach a node."""
        self.silenced = 0.0
        """The same for all messages but those that all nodes hear: no node notices it."""
        self.doubled = 0.0
        """The probability that a message reaches a node twice."""
        self.delayed = 0.0
        """The most seconds that are added to a message's delay by chance."""

    @property
    def spooled(self) -> int:
        """The number of entries in the spool."""
        return len(self._entries.waiting)

    def has_claim(self, key: str) -> bool:
        """Whether a post with this claim has gone into the spool."""
        return key in self._entries.claims

    def spool(self, node: str) -> MemorySpool:
        return _FarSpool(self._entries, lambda: self.reach(node))

    def lose(self, target: str, how: str) -> None:
        """Be away for the node *target*, or for all nodes if it is empty."""
        self.away[target] = how

    def regain(self, target: str) -> None:
        """Be back, with all data; the nodes that were cut off subscribe again."""
        del self.away[target]
        for process in self._buses:
            if target in ("", _host(process)):
                self._resubscribe(process)

    def tell(self, said: Said) -> None:
        """Send *said* to each process that hears it, and that still does when it arrives."""
        for process in self._buses:
            if self.hears(process) and not self._is_lost(said):
                self._send(process, said)
                if self.doubled and self._chance.happens(self.doubled):
                    self._send(process, said)

    def _is_lost(self, said: Said) -> bool:
        lost = self.lost if said.channel == CONTROL else max(self.lost, self.silenced)
        return lost > 0.0 and self._chance.happens(lost)

    async def reach(self, node: str) -> None:
        """Make a round trip. Raises `BusUnavailable` if *node* cannot reach the broker by then."""
        least, more = _BUS_DELAY
        await self._timeline.sleep(2 * least + more * self._chance.random())
        if self.away and self._ails(node) == HANGS:
            await self._timeline.sleep(self._patience)
            raise BusUnavailable("no answer from the broker")
        if not self._is_reached_by(node):
            raise BusUnavailable("the broker is away")

    def forget(self, process: str) -> None:
        """Forget *process*, which has ended for good."""
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
    """A spool over the network: an operation may be done although its caller was not told."""

    async def append(self, drafts: Sequence[SpoolDraft]) -> Appended:
        appended = await super().append(drafts)
        await self._reach()
        return appended

    async def take(self, node: str, limit: int, lease: float) -> Sequence[SpoolEntry] | None:
        entries = await super().take(node, limit, lease)
        await self._reach()
        return entries

    async def done(self, node: str, ids: Sequence[str]) -> None:
        await super().done(node, ids)
        await self._reach()
