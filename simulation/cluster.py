"""Hosts on which nodes run, the services they share, and the balancer in front of them."""

from __future__ import annotations

import math
from typing import Any, Final

import jwt
import trio

from simulation.chance import Chance
from simulation.history import History
from simulation.network import Arrival, Connection
from simulation.node import Node
from simulation.plan import Plan
from simulation.scheduling import Process
from simulation.services import SharedStore, SimulatedBroker, StoreWay
from simulation.timeline import Timeline
from simulation.trace import Trace
from tocsin.actors.world import World
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts

_EPOCH_MS: Final = 1_767_225_600_000
"""When it all begins: the first of January 2026 (Unix milliseconds)."""
_SECRET: Final = "a secret of the simulation that nobody else has"
_TOKEN_LIFETIME: Final = 30 * 86_400


class Cluster:
    """All that a run consists of, but for those who use it."""

    def __init__(self, plan: Plan, timeline: Timeline, trace: Trace, nursery: trio.Nursery) -> None:
        self.plan = plan
        self.timeline = timeline
        self.trace = trace
        self.nursery = nursery
        self.history = History()
        self.store = SharedStore(self.chance("store"))
        self.broker = SimulatedBroker(timeline, self.chance("broker"))
        self.hosts = {name: Host(name, self) for name in plan.node_names}

    def chance(self, *whom: object) -> Chance:
        """Chance for *whom*, the same in each run of this seed."""
        return Chance(self.plan.seed, *whom)

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        self.trace.note(trio.current_time(), who, what)

    def token(self, subject: str, scope: str = "") -> str:
        """A credential that lasts."""
        claims = {"sub": subject, "scope": scope, "exp": _EPOCH_MS // 1000 + _TOKEN_LIFETIME}
        return jwt.encode(claims, _SECRET, algorithm="HS256")

    def balance(self, chance: Chance) -> Host | None:
        """Where a newcomer is sent: to any node that is ready, else to any at all."""
        hosts = list(self.hosts.values())
        ready = [host for host in hosts if host.is_ready] or [host for host in hosts if host.is_up]
        return chance.one(ready) if ready else None


class Host:
    """Where one node runs, process after process; *clock* is how much it is ahead (ms)."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.clock = 0
        self.node: Node | None = None
        self._cluster = cluster
        self._starts = 0
        # A dictionary for its order.
        self._connections: dict[Connection, None] = {}

    @property
    def is_up(self) -> bool:
        """Whether somebody is here to knock at."""
        node = self.node
        return node is not None and node.services is not None and not node.process.is_dead

    @property
    def is_ready(self) -> bool:
        return self.node is not None and self.node.is_ready

    @property
    def process_number(self) -> int:
        """How many processes there were here, with the one that runs now."""
        return self._starts

    @property
    def bus_name(self) -> str:
        """What the broker calls the process that runs now."""
        return f"{self.name}#{self._starts}"

    def start(self) -> None:
        """Start a node, if none is running."""
        if self.node is not None:
            return
        self._starts += 1
        cluster, chance = self._cluster, self._cluster.chance("node", self.name, self._starts)
        process = Process(self._died)
        settings = _settings(self.name, alone=cluster.plan.nodes == 1)
        world = World(self._now_ms, chance.random, chance.randbytes)
        way = StoreWay(
            cluster.store, self.name, process, cluster.timeline, chance, settings.store_timeout
        )
        ports = None
        if cluster.plan.nodes > 1:
            broker, bus = cluster.broker, self.bus_name
            ports = ClusterPorts(
                broker.bus(bus), broker.presence(bus), broker.spool(bus), trio.lowlevel.checkpoint
            )
        self.node = Node(settings, process, way, world, ports)
        cluster.note(self.name, f"start {self._starts}")
        process.enter(cluster.nursery.start_soon, self._keep, self.node)

    def stop(self) -> None:
        """As SIGTERM."""
        if self.node is not None and self.is_up:
            self._cluster.note(self.name, "stop")
            self.node.process.enter(self.node.stop)

    def kill(self) -> None:
        """As SIGKILL."""
        if self.node is not None:
            self.node.process.kill()

    def connect(self, *, chance: Chance, heard: Arrival, ended: Any) -> Connection | None:
        """A connection to the node, if one is running."""
        if self.node is None:
            return None

        def over() -> None:
            self._connections.pop(connection, None)
            ended()

        connection = Connection(
            self._cluster.timeline,
            chance,
            self.node.process,
            outbound_bytes_max=_settings(self.name, alone=False).outbound_bytes_max,
            heard=heard,
            ended=over,
        )
        self._connections[connection] = None
        return connection

    @property
    def connections(self) -> list[Connection]:
        """Those that are open, the oldest first."""
        return list(self._connections)

    async def _keep(self, node: Node) -> None:
        await node.run()
        self._cluster.note(self.name, f"ended {node.failure or ''}")
        if self.node is node:
            self.node = None
            self._break_connections()

    def _died(self) -> None:
        """The process was killed, perhaps in the middle of a step: what that means comes next."""
        self._cluster.broker.forget(self.bus_name)
        self._cluster.timeline.at(-math.inf, self._bury, self.node)
        self.node = None

    def _bury(self, node: Node) -> None:
        self._cluster.note(self.name, "killed")
        node.clear_away()
        self._break_connections()

    def _break_connections(self) -> None:
        for connection in self.connections:
            connection.cut(client_notices=True, node_notices=False)
        self._connections.clear()

    def _now_ms(self) -> int:
        return _EPOCH_MS + self.clock + int(trio.current_time() * 1000)


def _settings(node: str, *, alone: bool) -> Settings:
    return Settings(
        node=node,
        jwt_secret=_SECRET,
        database=None if alone else "postgres://simulated/tocsin",
        redis=None if alone else "redis://simulated",
    )
