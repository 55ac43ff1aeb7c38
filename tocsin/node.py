"""One node: the trunk that every node has, and the doors of this one.

    metrics        connections, http and door of the port of metrics, if there is one
    trace-exporter takes spans to a collector, with `trace_url`
    loop-watch     sees how late the event loop is, and how busy
    sampler        keeps a sample of the node each second, for the console
    spectators     tells operators who look on what this node does
    http           Hypercorn and Quart-Trio
    front door     accepts sockets

`tocsin.trunk` says where the doors stand among the actors. The front door opens last and closes
first; the port of metrics opens first and closes last, so that metrics can be read till the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final

import structlog
import trio

from tocsin.actors.delivery.connections import Connections
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.loop_watch import LoopWatcher
from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.restart import FATAL
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.samples import Sampler
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.actors.spectators import SpectatorsWorker
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.protocol.refusal import refuse
from tocsin.server.admission.forwarded import Forwarding
from tocsin.server.admission.gate import Admissions
from tocsin.server.admission.limits import Limits
from tocsin.server.admission.origins import is_allowed_host
from tocsin.server.api.all_operations import OPERATIONS, open_metrics_operation
from tocsin.server.api.http_api import HttpApi
from tocsin.server.api.late_app import LateApp
from tocsin.server.api.operators.inspecting import named_sample, sample
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.connector_status import ConnectorTerms
from tocsin.server.door.edge_actors import FrontDoorActor, HttpActor, HttpServing
from tocsin.server.door.front_door import FrontDoor
from tocsin.server.door.limits import DoorLimits
from tocsin.server.producing.publishing import Publishing
from tocsin.server.request_head import RequestHead
from tocsin.server.websocket.edge import WebSocketEdge
from tocsin.settings import Settings
from tocsin.trunk import GRACE_MIN, Doors, Trunk
from tocsin.wiring import (
    ClusterPorts,
    http_limits,
    limit_figures,
    make_channels,
    make_outbound,
    make_tracing,
)

logger = structlog.get_logger(__name__)

_HOSTS_REMEMBERED: Final = 1024
"""Values of `Host`. A node has a few names; the rest are a stranger's, and push out one another."""

_SCRAPERS_MAX: Final = 256
"""Connections to the port of metrics, which are those of a few scrapers and probes."""


class Node:
    """Runs one node from start to stop; without a *verifier* it takes API keys only.

    A node that *shares_port* listens beside other nodes on this machine. With *ports* it belongs to
    a cluster, and closes the ports at its end. *loop_faults* counts the exceptions of the asyncio
    loop that no task has collected. *connectors* are the brokers that it takes from, *sinks* those
    that it carries receipts to.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        world: World,
        verifier: TokenVerifier | None,
        *,
        shares_port: bool = False,
        ports: ClusterPorts | None = None,
        loop_faults: Callable[[], int] = lambda: 0,
        connectors: Sequence[ConnectorTerms] = (),
        sinks: Sequence[SinkTerms] = (),
    ) -> None:
        self._settings = settings
        self._world = world
        self._shares_port = shares_port
        self._ports = ports
        self._outbound = make_outbound(settings)
        self._tracing = make_tracing(settings, world)
        channels = make_channels(settings, world, self._outbound, lambda: store.secret)
        self._trunk = Trunk(
            settings,
            store,
            world,
            verifier,
            ports,
            loop_faults,
            outbound=self._outbound,
            channels=channels,
            connectors=connectors,
            sinks=sinks,
            timing=None if self._tracing is None else self._tracing.timing,
        )
        if self._tracing is not None:
            self._tracing.timing.store = self.status.statistics
        self._http = HttpServing()
        self._stop = trio.Event()
        self._open = trio.Event()
        self.port = 0
        self.metrics_port: int | None = None

    @property
    def status(self) -> StoreStatus:
        """Whether the store can be used."""
        return self._trunk.services.status

    @property
    def bus(self) -> BusStatus:
        """Whether the other nodes are heard."""
        return self._trunk.services.bus

    async def run(self, *, task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, serve until `stop`, then drain.

        Raises the exception with which the tree gives up, such as `CannotListen`. Cancelling
        abandons all work at once; requests that were answered are durable all the same.
        """
        try:
            async with open_supervisor("", self._world.random) as tree:
                await self._trunk.start(tree, self._doors())
                await self._open.wait()
                self._trunk.services.readiness.started = True
                task_status.started(self)
                await self._stop.wait()
                logger.info("stopping", drain_time=self._settings.drain_time)
                # Balancers need time to notice before the door closes; until then the node serves
                # as before.
                await trio.sleep(self._settings.drain_notice_time)
                self._http.begin_drain()
                await self._trunk.stop(tree)
        finally:
            with trio.CancelScope(shield=True):
                await self._outbound.aclose()
                if self._tracing is not None:
                    await self._tracing.collector.aclose()
                if self._ports is not None:
                    await self._ports.aclose()

    def stop(self) -> None:
        """Begin to stop: the node is not ready from now on, and ends within the drain time."""
        self._trunk.services.readiness.stopping = True
        self._stop.set()

    # --- Doors -----------------------------------------------------------------------------------

    def _doors(self) -> Doors:
        settings, services = self._settings, self._trunk.services
        grace = 0.1 * settings.drain_time
        publishing = Publishing(services)
        edge = WebSocketEdge(services, publishing)
        limits = Limits(limit_figures(settings), exempt=settings.forwarded_from)
        admissions = Admissions(limits, Forwarding(settings.forwarded_from), time.monotonic)
        api = HttpApi(
            OPERATIONS, services, publishing, edge.check, admissions, _judge_of_hosts(settings)
        )
        app = LateApp(OPERATIONS, services, publishing, api.refusal)
        door = FrontDoor(
            websocket=edge.serve,
            websocket_turned=edge.turn_away,
            http=self._http.serve,
            limits=DoorLimits(connections_max=settings.connections_max),
            shares=limits,
            shares_port=self._shares_port,
        )

        def opened(port: int) -> None:
            self.port = port
            self._open.set()

        def http() -> HttpActor:
            return HttpActor(self._http, api, app, http_limits(settings), grace=grace)

        def front_door() -> FrontDoorActor:
            connections = services.connections
            return FrontDoorActor(door, connections, settings.host, settings.port, opened)

        return Doors(
            metrics=(*self._metrics_doors(publishing), *self._watchers()),
            http=(Child("http", http, stopped_by=0.7),),
            front_door=(
                Child(
                    "front-door",
                    front_door,
                    stopped_by=0.05,
                    policy=FATAL,
                    after=self._ready_behind,
                ),
            ),
        )

    def _watchers(self) -> tuple[Child, ...]:
        """They stop as late as the port of metrics, which shows what they have seen."""
        services = self._trunk.services

        def loop_watch() -> LoopWatcher:
            return LoopWatcher(services.loop, time.thread_time)

        def sampler() -> Sampler:
            return Sampler(services.samples, partial(sample, services))

        def spectators() -> SpectatorsWorker:
            table, node = services.timing.spectators, services.settings.node
            return SpectatorsWorker(
                table, node, self._world.now_ms, partial(named_sample, services)
            )

        return (
            *self._trace_exporter(),
            Child("loop-watch", loop_watch, stopped_by=1.0),
            Child("sampler", sampler, stopped_by=1.0),
            Child("spectators", spectators, stopped_by=1.0),
        )

    def _trace_exporter(self) -> tuple[Child, ...]:
        """It stops behind all that makes spans."""
        tracing, node = self._tracing, self._settings.node
        if tracing is None:
            return ()
        assert node is not None, "the node is named before it is started"
        return (Child("trace-exporter", partial(tracing.exporter, node), stopped_by=1.0),)

    def _metrics_doors(self, publishing: Publishing) -> tuple[Child, ...]:
        """The port of metrics, which has connections of its own, so that they end with it."""
        settings, services = self._settings, self._trunk.services
        port = settings.metrics_port
        if port is None:
            return ()
        operations = (open_metrics_operation(),)
        admissions = Admissions(Limits(limit_figures(settings)), Forwarding(), time.monotonic)
        judge = _judge_of_hosts(settings)
        api = HttpApi(operations, services, publishing, _check_no_websocket, admissions, judge)
        app = LateApp((), services, publishing, api.refusal)
        serving = HttpServing()
        door = FrontDoor(
            websocket=_no_websocket,
            websocket_turned=_no_websocket,
            http=serving.serve,
            limits=DoorLimits(connections_max=_SCRAPERS_MAX),
        )
        connections = Connections()

        def opened(port: int) -> None:
            self.metrics_port = port

        def keeper() -> DirectoryKeeper:
            return DirectoryKeeper(connections, self._world.random, grace=GRACE_MIN)

        def http() -> HttpActor:
            return HttpActor(serving, api, app, http_limits(settings), grace=0.0)

        def metrics_door() -> FrontDoorActor:
            return FrontDoorActor(door, connections, settings.host, port, opened)

        return (
            Child("metrics-connections", keeper, stopped_by=1.0),
            Child("metrics-http", http, stopped_by=1.0),
            Child(
                "metrics-door",
                metrics_door,
                stopped_by=1.0,
                policy=FATAL,
                after=serving.wait_started,
            ),
        )

    async def _ready_behind(self) -> None:
        """Return when the HTTP host has started, and the store was tried once, with any result.

        A store that does not answer at all keeps the front door shut for `store_timeout` at most.
        """
        await self._http.wait_started()
        with trio.move_on_after(self._settings.store_timeout):
            await self.status.wait_first_attempt()


def _judge_of_hosts(settings: Settings) -> Callable[[str | None], bool]:
    """A function that says whether a request's `Host` may name this node (DNS rebinding)."""
    if settings.forwarded_from:
        return lambda host: True
    # The same few names come with every request.
    return lru_cache(_HOSTS_REMEMBERED)(
        lambda host: is_allowed_host(host, settings.host, settings.origins)
    )


def _check_no_websocket(_: RequestHead) -> None:
    raise refuse("not_found", "This port serves no WebSockets.")


async def _no_websocket(*_: Any) -> None:
    """Never called: `_check_no_websocket` refuses every WebSocket before."""
