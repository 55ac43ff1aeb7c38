"""All that a run consists of: hosts on which nodes run, and the services that they share."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import jwt
import trio

from simulation.world.balancer import Balancer
from simulation.world.chance import Chance
from simulation.world.history import History, Violation
from simulation.world.network import Arrival, Connection
from simulation.world.node import Node, Request
from simulation.world.plan import NODES, Plan
from simulation.world.scheduling import Process
from simulation.world.services import SharedStore, SimulatedBroker, StoreWay
from simulation.world.timeline import Timeline
from simulation.world.trace import Trace
from tocsin.actors.world import World
from tocsin.persistence.store.key_commands import ApiKey, CreateKey
from tocsin.protocol.values import from_datetime
from tocsin.server.auth.keys import NewKey, generate_key
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts

if TYPE_CHECKING:
    from simulation.clients.devices import Device
    from simulation.clients.operators import Operator
    from simulation.clients.producers import Producer
    from simulation.clients.users import User

_EPOCH_MS: Final = 1_767_225_600_000
"""When it all begins: the first of January 2026 (Unix milliseconds)."""
_SECRET: Final = "a secret of the simulation that nobody else has"
_TOKEN_LIFETIME: Final = 30 * 86_400


class Cluster:
    """See the module; whoever uses it is put into it by the run."""

    def __init__(self, plan: Plan, timeline: Timeline, trace: Trace, nursery: trio.Nursery) -> None:
        self.plan = plan
        self.timeline = timeline
        self.trace = trace
        self.nursery = nursery
        self.history = History(lambda: timeline.now)
        self.store = SharedStore(self.chance("store"))
        patience = _settings("any", plan).redis_timeout
        self.broker = SimulatedBroker(timeline, self.chance("broker"), patience)
        self.hosts = {name: Host(name, self) for name in plan.node_names}
        self.balancer = Balancer(self.hosts, timeline)
        self.devices: list[Device] = []
        self.producers: list[Producer] = []
        self.users: list[User] = []
        self.operators: list[Operator] = []

    def chance(self, *whom: object) -> Chance:
        """Chance for *whom*, the same in each run of this seed."""
        return Chance(self.plan.seed, *whom)

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        self.trace.note(self.timeline.now, who, what)

    def violated(self, promise: str, subject: str, what: str) -> None:
        """*promise* was broken, now."""
        violation = Violation(self.timeline.now, promise, subject, what)
        self.note(subject, f"violates {promise}")
        self.history.violated(violation)

    def now_ms(self) -> int:
        """The right time of day (Unix milliseconds)."""
        return _EPOCH_MS + int(self.timeline.now * 1000)

    def moment_of(self, text: str) -> float:
        """When it is the time of day that *text* says (RFC 3339), in the simulation's seconds."""
        return (from_datetime(datetime.fromisoformat(text)) - _EPOCH_MS) / 1000

    def token(self, subject: str, scope: str = "") -> str:
        """A credential that lasts."""
        claims = {"sub": subject, "scope": scope, "exp": _EPOCH_MS // 1000 + _TOKEN_LIFETIME}
        return jwt.encode(claims, _SECRET, algorithm="HS256")

    def key(self, holder: str) -> str:
        """*holder*'s API key."""
        return self._new_key(holder).text

    async def open(self) -> None:
        """Make what must be there before anybody comes: the store, and the producers' keys."""
        await self.store.open()
        new = [(holder, self._new_key(holder)) for holder in self.plan.producer_names]
        keys = [
            ApiKey(key.id, key.hash, ("notify", "admin"), holder, self.now_ms())
            for holder, key in new
        ]
        await self.store.write([CreateKey(key) for key in keys])

    def _new_key(self, holder: str) -> NewKey:
        return generate_key(self.chance("key", holder).randbytes)

    def balance(self, chance: Chance) -> Host | None:
        """Where a newcomer is sent."""
        return self.balancer.choose(chance)


class Host:
    """Where one node runs, process after process; *clock* is how much it is ahead (ms).

    *clock_least* and *clock_most* are the least and the most that it has been.
    """

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.clock = self.clock_least = self.clock_most = 0
        self.node: Node | None = None
        self._cluster = cluster
        self._starts = 0
        self._is_silent = False
        # A dictionary for its order.
        self._connections: dict[Connection, None] = {}
        self._held: list[Connection] = []

    @property
    def is_up(self) -> bool:
        """Whether somebody is here to knock at."""
        node = self.node
        return node is not None and node.services is not None and not node.process.is_dead

    @property
    def is_ready(self) -> bool:
        return self.node is not None and self.node.is_ready

    @property
    def hangs(self) -> bool:
        """Whether it is there, and does not answer."""
        return self.node is not None and self.node.process.is_stopped

    @property
    def drain_time(self) -> float:
        """Seconds in which a node that is told to stop has ended."""
        return _settings(self.name, self._cluster.plan).drain_time

    @property
    def process_number(self) -> int:
        """How many processes there were here, with the one that runs now."""
        return self._starts

    @property
    def bus_name(self) -> str:
        """What the broker calls the process that runs now."""
        return f"{self.name}#{self._starts}"

    def set_clock(self, ahead: int) -> None:
        """Have its wall clock be *ahead* of the right time, in milliseconds."""
        self.clock = ahead
        self.clock_least = min(self.clock_least, ahead)
        self.clock_most = max(self.clock_most, ahead)

    def start(self) -> None:
        """Start a node, if none is running."""
        if self.node is not None:
            return
        self._starts += 1
        cluster, chance = self._cluster, self._cluster.chance("node", self.name, self._starts)
        process = Process(self.name, self._died)
        plan = cluster.plan
        settings = _settings(self.name, plan)
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

    def kill(self, *, silent: bool = False) -> None:
        """As SIGKILL; *silent* as when the cable is pulled as well."""
        if self.node is not None:
            self._is_silent = silent
            self.node.process.kill()

    def kill_in(self, steps: int, *, silent: bool = False) -> None:
        """Kill what runs now in so many steps of its."""
        if self.node is not None:
            self._is_silent = silent
            self.node.process.kill_at = self.node.process.steps + steps

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
            outbound_bytes_max=_settings(self.name, self._cluster.plan).outbound_bytes_max,
            heard=heard,
            ended=over,
        )
        self._connections[connection] = None
        self._held = [each for each in self._held if each.is_held]
        self._held.append(connection)
        return connection

    def request(
        self,
        request: Request,
        *,
        chance: Chance,
        heard: Arrival,
        ended: Callable[[], object],
        arrived: Callable[[], object] | None = None,
    ) -> Connection | None:
        """A connection that carries *request* to the node; *arrived* is called when it is there."""
        connection, node = self.connect(chance=chance, heard=heard, ended=ended), self.node
        if connection is not None and node is not None:
            taker = partial(node.request, connection=connection)
            connection.serve(received=taker, left=lambda: None)
            connection.say(request, arrived)
        return connection

    @property
    def connections(self) -> list[Connection]:
        """Those that are open, the oldest first."""
        return list(self._connections)

    @property
    def held(self) -> int:
        """How many connections the node may believe to be open; their clients may know better."""
        return sum(each.is_held for each in self._held)

    async def _keep(self, node: Node) -> None:
        await node.run()
        self._cluster.note(self.name, f"ended {node.failure or ''}")
        if self.node is node:
            self.node = None
            self._break_connections(client_notices=True)
            if not node.is_stopping:
                ended = f"a node that nobody stopped has ended: {node.failure}"
                self._cluster.violated("P6", self.name, ended)

    def _died(self) -> None:
        """The process was killed, perhaps in the middle of a step: what that means comes next."""
        self._cluster.broker.forget(self.bus_name)
        self._cluster.timeline.at(-math.inf, self._bury, self.node)
        self.node = None

    def _bury(self, node: Node) -> None:
        self._cluster.note(self.name, "killed")
        node.clear_away()
        self._break_connections(client_notices=not self._is_silent)

    def _break_connections(self, *, client_notices: bool) -> None:
        for connection in self.connections:
            connection.cut(client_notices=client_notices, node_notices=False)
        self._connections.clear()
        self._held.clear()

    def _now_ms(self) -> int:
        return _EPOCH_MS + self.clock + int(self._cluster.timeline.now * 1000)


@lru_cache(maxsize=2 * len(NODES))
def _settings(node: str, plan: Plan) -> Settings:
    alone = plan.nodes == 1
    kept = {
        name: getattr(plan, name)
        for name in ("retention", "retention_archived", "retention_expired")
        if getattr(plan, name)
    }
    return Settings(
        node=node,
        jwt_secret=_SECRET,
        database=None if alone else "postgres://simulated/tocsin",
        redis=None if alone else "redis://simulated",
        resend_delay=plan.resend_delay,
        delivery_attempts_max=plan.attempts,
        **kept,
    )
