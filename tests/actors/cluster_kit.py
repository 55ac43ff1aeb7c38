"""Several nodes in one process: their actors, one store and one memory broker, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.actors.clock_kit import pass_time
from tests.actors.node_kit import Node, NodeParts, SharedStore, seals_of_the_nodes
from tocsin.actors.cluster.reconciler import HASTE
from tocsin.actors.runtime.supervisor import Supervisor, open_supervisor
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.cluster.seals import Seals
from tocsin.protocol.delivery.terms import SessionLimits

SOON = 0.2
"""Seconds after which a push has come that the bus brings."""
LATE = HASTE + 1.0
"""Seconds after which a node that knows that it is deaf has found what it did not hear."""
TITLES = [str(number) for number in range(20)]


@dataclass
class Cluster:
    tree: Supervisor
    broker: MemoryBroker
    store: SharedStore
    limits: SessionLimits
    nodes: dict[str, Node]

    def join(self, name: str, seals: Seals | None = None) -> Node:
        """Start one more node; *seals* are those of the nodes otherwise."""
        seals = seals or seals_of_the_nodes()
        node = NodeParts(self.tree, name, self.broker, self.store, seals).spawn(self.limits)
        self.nodes[name] = node
        return node

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]


@asynccontextmanager
async def a_cluster(*names: str, resend_delay: float = 1000.0) -> AsyncIterator[Cluster]:
    """Nodes with these *names*, all of which hear one another."""
    limits = SessionLimits(64, 1 << 20, Backoff(resend_delay, 1000.0), 3, 50)
    store = SharedStore()
    await store.open()
    broker = MemoryBroker()
    async with open_supervisor("", lambda: 0.0) as tree:
        cluster = Cluster(tree, broker, store, limits, {})
        for name in names:
            cluster.join(name)
        await pass_time(3.0)
        yield cluster
        for name in cluster.nodes:
            for part in ("notifications", "spooler", "topics", "users", "cluster", "storage"):
                await tree.stop_child(f"{name}/{part}", 1.0)


def replace(port: object, **methods: Any) -> None:
    """Let *port* do something else from now on."""
    for name, method in methods.items():
        setattr(port, name, method)
