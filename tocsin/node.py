"""One node: the trunk that every node has, and the doors of this one.

    node
    ├─ storage … drainer    the trunk: see `tocsin.trunk`
    ├─ http                 Hypercorn and Quart-Trio
    ├─ front door           accepts sockets
    ├─ metrics http         the same for the port of metrics, if there is one
    └─ metrics door

They start from top to bottom and stop from bottom to top, so each finds what it needs for as long
as it lives: the door closes first, the store last. What metrics say is to be seen till the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import structlog
import trio

from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.runtime import FATAL, Supervisor, open_supervisor
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.protocol.refusal import refuse
from tocsin.server.admission.forwarded import Forwarding
from tocsin.server.admission.gate import Admissions
from tocsin.server.admission.limits import Limits
from tocsin.server.admission.origins import is_allowed_host
from tocsin.server.api import OPERATIONS, open_metrics_operation
from tocsin.server.api.http_api import HttpApi
from tocsin.server.api.quart_app import make_quart_app
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.door.edge_actors import FrontDoorActor, HttpActor
from tocsin.server.door.front_door import FrontDoor
from tocsin.server.producing.publishing import Publishing
from tocsin.server.request_head import RequestHead
from tocsin.server.services import Services
from tocsin.server.websocket.edge import WebSocketEdge
from tocsin.settings import Settings
from tocsin.trunk import Trunk
from tocsin.wiring import ClusterPorts, http_limits, limit_figures

logger = structlog.get_logger(__name__)

_HOSTS_REMEMBERED: Final = 1024


class Node:
    """Runs one node from start to stop; without a *verifier* it knows API keys only.

    A node that *shares_port* listens beside others of this machine. With *ports* it is one of a
    cluster, and closes them at its end.
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
    ) -> None:
        self._settings = settings
        self._world = world
        self._shares_port = shares_port
        self._ports = ports
        self._trunk = Trunk(settings, store, world, verifier, ports, loop_faults)
        self._stop = trio.Event()
        self._open = trio.Event()
        self.port = 0
        self.metrics_port: int | None = None

    @property
    def status(self) -> StoreStatus:
        """Whether the store can be used."""
        return self._trunk.status

    @property
    def bus(self) -> BusStatus:
        """Whether the other nodes are heard."""
        return self._trunk.bus

    async def run(self, *, task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, serve until `stop`, drain. Raises what the tree gives up with (`CannotListen`).

        Cancelling abandons everything at once: what was answered is durable all the same.
        """
        try:
            async with open_supervisor("", self._world.random) as tree:
                services = self._trunk.grow(tree)
                # Behind a door there is to be something. A store that does not even say no is
                # another thing: then the doors open, and say so.
                with trio.move_on_after(self._settings.store_timeout):
                    await self.status.wait_first_attempt()
                http = self._open_doors(tree, services)
                await self._open.wait()
                self._trunk.readiness.started = True
                task_status.started(self)
                await self._stop.wait()
                logger.info("stopping", drain_time=self._settings.drain_time)
                # Balancers are to notice before the door closes; until then all is as ever.
                await trio.sleep(self._settings.drain_notice_time)
                http.begin_drain()
                await self._trunk.fell(tree)
        finally:
            if self._ports is not None:
                with trio.CancelScope(shield=True):
                    await self._ports.aclose()

    def stop(self) -> None:
        """Begin to stop: not ready from this moment, gone within the drain time."""
        self._trunk.readiness.stopping = True
        self._stop.set()

    def _open_doors(self, tree: Supervisor, services: Services) -> HttpActor:
        settings, connections = self._settings, services.connections
        publishing = Publishing(services)
        grace = 0.1 * settings.drain_time
        edge = WebSocketEdge(services, publishing)
        limits = Limits(limit_figures(settings), exempt=settings.forwarded_from)
        admissions = Admissions(limits, Forwarding(settings.forwarded_from), time.monotonic)
        api = HttpApi(
            OPERATIONS, services, publishing, edge.check, admissions, _judge_of_hosts(settings)
        )
        app = make_quart_app(OPERATIONS, services, publishing, api.refusal)
        http = HttpActor(api, app, http_limits(settings), grace=grace)
        tree.spawn("http", lambda: http)
        door = FrontDoor(
            websocket=edge.serve,
            websocket_turned=edge.turn_away,
            http=http.serve,
            connections_max=settings.connections_max,
            shares_port=self._shares_port,
            limits=limits,
        )

        def opened(port: int) -> None:
            self.port = port
            self._open.set()

        # What the operator asked for cannot be had: that is for the operator to see, not to retry.
        tree.spawn(
            "front-door",
            lambda: FrontDoorActor(door, connections, settings.host, settings.port, opened),
            policy=FATAL,
        )
        if settings.metrics_port is not None:
            self._open_metrics(tree, services, publishing, settings.metrics_port)
        return http

    def _open_metrics(
        self, tree: Supervisor, services: Services, publishing: Publishing, port: int
    ) -> None:
        operations = (open_metrics_operation(),)
        admissions = Admissions(Limits(limit_figures(self._settings)), Forwarding(), time.monotonic)
        api = HttpApi(
            operations,
            services,
            publishing,
            _check_no_websocket,
            admissions,
            _judge_of_hosts(self._settings),
        )
        app = make_quart_app((), services, publishing, api.refusal)
        http = HttpActor(api, app, http_limits(self._settings), grace=0.0)
        tree.spawn("metrics-http", lambda: http)
        door = FrontDoor(websocket=_no_websocket, websocket_turned=_no_websocket, http=http.serve)

        def opened(port: int) -> None:
            self.metrics_port = port

        tree.spawn(
            "metrics-door",
            lambda: FrontDoorActor(door, services.connections, self._settings.host, port, opened),
            policy=FATAL,
        )


def _judge_of_hosts(settings: Settings) -> Callable[[str | None], bool]:
    """Whether a request may call this node by its `Host` (DNS rebinding); see `is_allowed_host`."""
    if settings.forwarded_from:
        return lambda host: True
    # The same few names come with every request.
    return lru_cache(_HOSTS_REMEMBERED)(
        lambda host: is_allowed_host(host, settings.host, settings.origins)
    )


def _check_no_websocket(_: RequestHead) -> None:
    raise refuse("not_found", "There are no WebSockets on this port.")


async def _no_websocket(*_: Any) -> None:
    """None gets past the check."""
