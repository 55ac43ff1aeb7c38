"""The bus, presence and the spool of several nodes in one process: for tests and simulations.

One `MemoryBroker` stands for the service, and each node has a bus of its own to it, as with Redis:

    broker = MemoryBroker()
    bus = broker.bus("node-a")

The broker's verbs cause every fault that a real service has, for all nodes or for one, at the
moment that the test chooses. Time is Trio's, so that it may be virtual. Nothing here is random; a
`loss` that drops by chance has its own source of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import trio

from tocsin.persistence.bus import (
    DISCONNECTED_LIFETIME,
    DISCONNECTED_MAX,
    BusUnavailable,
    Gap,
    Heard,
    Said,
)
from tocsin.persistence.bus.heard_queue import HeardQueue
from tocsin.persistence.bus.memory_presence import Leases, MemoryPresence, Runs
from tocsin.persistence.bus.memory_spool import Entries, MemorySpool

Loss = Callable[[str, Said], bool]
"""Whether the node of this name does not hear this envelope."""


class MemoryBroker:
    """The part of Redis in a cluster. *loss* decides for each envelope and node if it is lost."""

    def __init__(self, loss: Loss = lambda node, said: False) -> None:
        self.loss = loss
        self._buses: dict[str, MemoryBus] = {}
        self._leases = Leases()
        self._runs = Runs()
        self._entries = Entries()
        self._disconnected: dict[bytes, float] = {}
        self._cut: set[str] = set()
        self._deaf: set[str] = set()
        self._stopped = False

    def bus(self, node: str) -> MemoryBus:
        """The bus of *node*; a second one, as after a restart of the node, replaces the first."""
        bus = self._buses[node] = MemoryBus(node, self)
        return bus

    def presence(self, node: str) -> MemoryPresence:
        return MemoryPresence(self._leases, self._runs, lambda: self.reach(node))

    def spool(self, node: str) -> MemorySpool:
        return MemorySpool(self._entries, lambda: self.reach(node))

    # --- Faults ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take the service away: no node reaches it, and nothing is heard."""
        self._stopped = True

    def start(self) -> None:
        """Bring the service back, with its data; all nodes subscribe again."""
        self._stopped = False
        for node in self._buses:
            self._resubscribe(node)

    def cut(self, node: str) -> None:
        """Cut *node* off: it cannot reach the service, and its calls raise."""
        self._cut.add(node)

    def mend(self, node: str) -> None:
        self._cut.discard(node)
        self._resubscribe(node)

    def deafen(self, node: str) -> None:
        """Let *node* hear nothing, without a sign, and still be heard: a half-open connection."""
        self._deaf.add(node)

    def cure(self, node: str) -> None:
        """Let *node* hear again, and report a `Gap` to it."""
        self._deaf.discard(node)
        self._resubscribe(node)

    def wipe(self) -> None:
        """Forget all data, as FLUSHALL does; subscriptions stay."""
        self._leases.clear()
        self._runs.clear()
        self._entries.clear()
        self._disconnected.clear()

    # --- For the adapters -----------------------------------------------------------------------

    async def reach(self, node: str) -> None:
        """Raise `BusUnavailable` if *node* cannot reach the service.

        A checkpoint, at which a call can be cancelled before it has done anything.
        """
        await trio.lowlevel.checkpoint()
        if not self._is_reached_by(node):
            raise BusUnavailable("the memory broker is away")

    def tell(self, said: Said) -> None:
        for node, bus in self._buses.items():
            if self.hears(node) and not self.loss(node, said):
                bus.hear(said)

    def hears(self, node: str) -> bool:
        """Whether *node* hears envelopes that are published now."""
        return self._is_reached_by(node) and node not in self._deaf

    def keep_disconnected(self, mark: bytes) -> None:
        self._disconnected.pop(mark, None)
        self._disconnected[mark] = trio.current_time()
        while len(self._disconnected) > DISCONNECTED_MAX:
            del self._disconnected[next(iter(self._disconnected))]

    def disconnected(self) -> dict[bytes, float]:
        now = trio.current_time()
        ages = {mark: now - moment for mark, moment in self._disconnected.items()}
        return {mark: age for mark, age in ages.items() if age < DISCONNECTED_LIFETIME}

    def _is_reached_by(self, node: str) -> bool:
        return not self._stopped and node not in self._cut

    def _resubscribe(self, node: str) -> None:
        if node in self._buses and self._is_reached_by(node):
            self._buses[node].resubscribe()


class MemoryBus:
    """`Bus` on a `MemoryBroker`."""

    def __init__(self, node: str, broker: MemoryBroker) -> None:
        self._node = node
        self._broker = broker
        # A dictionary, for its order: a `Gap` lists the channels in the same order in every run.
        self._wanted: dict[str, None] = {}
        self._heard = HeardQueue()
        self._closed = True

    async def open(self) -> None:
        await self._broker.reach(self._node)
        self._closed = False

    async def publish(self, messages: Sequence[Said]) -> None:
        await self._reach()
        for each in messages:
            self._broker.tell(each)

    async def subscribe(self, channels: Iterable[str]) -> None:
        self._wanted.update(dict.fromkeys(channels))
        await self._reach()

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._wanted.pop(channel, None)
        await trio.lowlevel.checkpoint()

    async def receive(self) -> Sequence[Heard]:
        return await self._heard.take()

    async def keep_disconnected(self, marks: Iterable[bytes]) -> None:
        await self._reach()
        for mark in marks:
            self._broker.keep_disconnected(mark)

    async def disconnected(self) -> Mapping[bytes, float]:
        await self._reach()
        return self._broker.disconnected()

    async def aclose(self) -> None:
        self._closed = True
        self._wanted.clear()
        await trio.lowlevel.checkpoint()

    async def _reach(self) -> None:
        await self._broker.reach(self._node)
        if self._closed:
            raise BusUnavailable("the bus is not open")

    def hear(self, said: Said) -> None:
        if said.channel in self._wanted and not self._closed:
            self._heard.put(said)

    def resubscribe(self) -> None:
        if self._wanted and not self._closed:
            self._heard.put(Gap(tuple(self._wanted)))
