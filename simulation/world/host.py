"""A host: the machine on which the processes of one node run, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from simulation.world.chance import Chance
from simulation.world.channels import SimulatedChannels
from simulation.world.destination import SimulatedDestination
from simulation.world.network import Arrival, Connection
from simulation.world.node import Node, Request
from simulation.world.queue import SimulatedQueue
from simulation.world.scheduling import Process
from simulation.world.services import FaultyStoreWay, SharedStore, SimulatedBroker
from simulation.world.surroundings import Surroundings, settings_of
from tocsin.actors.world import World
from tocsin.protocol.outbound import OutboundPort
from tocsin.wiring import ClusterPorts


class Host:
    """See the module. *clock* is how far its wall clock is ahead of the right time, in ms.

    *clock_least* and *clock_most* are the smallest and the greatest value that *clock* has had.
    """

    def __init__(
        self,
        name: str,
        around: Surroundings,
        store: SharedStore,
        broker: SimulatedBroker,
        outbound: OutboundPort,
        channels: SimulatedChannels,
        queues: Sequence[SimulatedQueue] = (),
        sinks: Sequence[SimulatedDestination] = (),
    ) -> None:
        self.name = name
        self.clock = self.clock_least = self.clock_most = 0
        self.node: Node | None = None
        self._around = around
        self._store = store
        self._broker = broker
        self._outbound = outbound
        self._channels = channels
        self._queues = queues
        self._sinks = sinks
        self._starts = 0
        self._is_silent = False
        self._told_to_stop: Node | None = None
        # A dictionary for its order.
        self._connections: dict[Connection, None] = {}
        self._held: list[Connection] = []

    @property
    def is_up(self) -> bool:
        """Whether a process is running here and accepts connections."""
        node = self.node
        return node is not None and node.services is not None and not node.process.is_dead

    @property
    def is_ready(self) -> bool:
        return self.node is not None and self.node.is_ready

    @property
    def hangs(self) -> bool:
        """Whether a process is here but answers nothing, because it is stopped as by SIGSTOP."""
        return self.node is not None and self.node.process.is_stopped

    @property
    def is_told_to_stop(self) -> bool:
        """Whether the process was sent SIGTERM; while it `hangs`, it does not know that yet."""
        return self.node is not None and self.node is self._told_to_stop

    @property
    def drain_time(self) -> float:
        """Seconds within which a node that is told to stop must have ended."""
        return settings_of(self.name, self._around.plan).drain_time

    @property
    def process_number(self) -> int:
        """The number of processes started here so far; the running one has this number."""
        return self._starts

    @property
    def bus_name(self) -> str:
        """The name by which the broker knows the running process."""
        return f"{self.name}#{self._starts}"

    def set_clock(self, ahead: int) -> None:
        """Set the wall clock to *ahead* milliseconds ahead of the right time (negative: behind)."""
        self.clock = ahead
        self.clock_least = min(self.clock_least, ahead)
        self.clock_most = max(self.clock_most, ahead)

    def start(self) -> None:
        """Start a process; no effect while one is running."""
        if self.node is not None:
            return
        self._starts += 1
        around, chance = self._around, self._around.chance("node", self.name, self._starts)
        process = Process(self.name, self._died)
        settings = settings_of(self.name, around.plan)
        world = World(self._now_ms, chance.random, chance.randbytes)
        way = FaultyStoreWay(
            self._store, self.name, process, around.timeline, chance, settings.store_timeout
        )
        connectors = tuple(queue.terms(process) for queue in self._queues)
        sinks = tuple(sink.terms(process) for sink in self._sinks)
        channels = self._channels.of(process)
        self.node = Node(
            settings,
            process,
            way,
            world,
            self._ports(),
            self._outbound,
            connectors,
            sinks,
            channels,
        )
        around.note(self.name, f"start {self._starts}")
        process.enter(around.nursery.start_soon, self._keep, self.node)

    def stop(self) -> None:
        """Send SIGTERM."""
        if self.node is not None and self.is_up:
            self._around.note(self.name, "stop")
            self._told_to_stop = self.node
            self.node.process.enter(self.node.stop)

    def kill(self, *, silent: bool = False) -> None:
        """Send SIGKILL; *silent*: the network fails with it, so that clients notice nothing."""
        if self.node is not None:
            self._is_silent = silent
            self.node.process.kill()

    def kill_in(self, steps: int, *, silent: bool = False) -> None:
        """Kill the running process after *steps* more steps of its tasks."""
        if self.node is not None:
            self._is_silent = silent
            self.node.process.kill_at = self.node.process.steps + steps

    def connect(
        self, *, chance: Chance, heard: Arrival, ended: Any, kernel_gives_up: bool = False
    ) -> Connection | None:
        """Open a connection to the node; `None` if none is running.

        *heard* is called with what arrives at the client, *ended* when the connection ends for it.
        See `Connection` for *kernel_gives_up*.
        """
        if self.node is None:
            return None

        def over() -> None:
            self._connections.pop(connection, None)
            ended()

        connection = Connection(
            self._around.timeline,
            chance,
            self.node.process,
            outbound_bytes_max=settings_of(self.name, self._around.plan).outbound_bytes_max,
            heard=heard,
            ended=over,
            kernel_gives_up=kernel_gives_up,
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
        """Open a connection that carries *request*; *arrived* is called when the node has it."""
        # A stream sends no pings that could go unanswered.
        connection = self.connect(chance=chance, heard=heard, ended=ended, kernel_gives_up=True)
        node = self.node
        if connection is not None and node is not None:
            taker = partial(node.request, connection=connection)
            connection.serve(received=taker, left=lambda: None)
            connection.say(request, arrived)
        return connection

    @property
    def connections(self) -> list[Connection]:
        """The open connections, the oldest first."""
        return list(self._connections)

    @property
    def held(self) -> int:
        """The number of connections that the node may believe to be open."""
        return sum(each.is_held for each in self._held)

    def _ports(self) -> ClusterPorts | None:
        """The process's ways to bus, presence and spool; a single node has none."""
        if self._around.plan.nodes == 1:
            return None
        broker, bus = self._broker, self.bus_name
        return ClusterPorts(
            broker.bus(bus), broker.presence(bus), broker.spool(bus), trio.lowlevel.checkpoint
        )

    async def _keep(self, node: Node) -> None:
        await node.run()
        self._around.note(self.name, f"ended {node.failure or ''}")
        if self.node is node:
            self.node = None
            self._break_connections(client_notices=True)
            if not node.is_stopping:
                ended = f"a node has ended without being stopped: {node.failure}"
                self._around.violated("P6", self.name, ended)

    def _died(self) -> None:
        """The process was killed, perhaps within a step; `_bury` does the rest after that step."""
        self._broker.forget(self.bus_name)
        if self.node is not None:
            for queue in self._queues:
                queue.forget(self.node.process)
        self._around.timeline.at(-math.inf, self._bury, self.node)
        self.node = None

    def _bury(self, node: Node) -> None:
        self._around.note(self.name, "killed")
        node.clear_away()
        self._break_connections(client_notices=not self._is_silent)

    def _break_connections(self, *, client_notices: bool) -> None:
        for connection in self.connections:
            connection.cut(client_notices=client_notices, node_notices=False)
        self._connections.clear()
        self._held.clear()

    def _now_ms(self) -> int:
        return self._around.now_ms() + self.clock
