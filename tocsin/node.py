"""One node: the whole supervision tree, on one screen.

    node
    ├─ storage         group commit; answers reads; owns the store
    ├─ cluster         the bridge: this node's voice and ears on the bus
    ├─ presence        tells all nodes who is connected to this one
    ├─ users           directory of user actors: from a user's first device to the last
    ├─ topics          brings what is published to topics to those who are online
    ├─ scheduler       wakes what is due
    ├─ spooler         what is posted while the store is away, and what comes behind that
    ├─ notifications   directory of the live notifications
    ├─ connections     one temporary actor per socket
    ├─ key watch       ends the connections of revoked API keys
    ├─ http            Hypercorn and Quart-Trio
    ├─ drainer         does nothing until stop; then says goodbye in batches
    └─ front door      accepts sockets

They start from top to bottom and stop from bottom to top, so each finds what it needs for as long
as it lives: the door closes first, the store last. A node alone has no cluster, presence and
spooler.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
import trio

from tocsin.actors.announcer import Announcer
from tocsin.actors.bus_status import BusStatus
from tocsin.actors.cluster import ClusterBridge
from tocsin.actors.company import Company
from tocsin.actors.connections import Connections
from tocsin.actors.drainer import Drainer
from tocsin.actors.ledger import Ledger
from tocsin.actors.neighbours import ALONE, Neighbours
from tocsin.actors.notifications import Notifications
from tocsin.actors.presence import Attendance, PresenceActor
from tocsin.actors.runtime import FATAL, Ref, Supervisor, open_supervisor
from tocsin.actors.scheduler import Scheduler, SchedulerMessage
from tocsin.actors.spooler import Spooler
from tocsin.actors.storage import StorageActor, StorageMessage, StoreStatus
from tocsin.actors.topics import Topics
from tocsin.actors.users import Users
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.protocol.problems import TYPE_BASE
from tocsin.server.api import create_app, create_metrics_app
from tocsin.server.auth import Authenticator, KeyRing, KeyRingLimits, TokenVerifier
from tocsin.server.credentials import key_finder, ticket_taker
from tocsin.server.edge_actors import FrontDoorActor, HttpActor
from tocsin.server.front_door import FrontDoor
from tocsin.server.key_watch import KeyWatch
from tocsin.server.publishing import Publishing
from tocsin.server.services import Readiness, Services
from tocsin.server.websocket import WebSocketEdge
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts, delivery_settings, edge_settings, http_limits, upkeep

logger = structlog.get_logger(__name__)

# By when each child must have ended, as a part of the drain time, in the order of their stopping.
_STOPPED_BY: Final = {
    "metrics-door": 0.05,
    "front-door": 0.05,
    "drainer": 0.6,
    "http": 0.7,
    "key-watch": 0.75,
    "connections": 0.75,
    "notifications": 0.8,
    "spooler": 0.85,
    "scheduler": 0.85,
    "topics": 0.85,
    "users": 0.85,
    "presence": 0.9,
    "cluster": 0.9,
    "storage": 1.0,
    "metrics-http": 1.0,
}
_GRACE_MIN: Final = 0.2
_KEY_OUTAGE: Final = 900.0
"""Seconds without the store in which API keys that were in use go on working."""


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
    ) -> None:
        assert settings.node is not None, "the node is named before it is started"
        self._name = settings.node
        self._settings = settings
        self._store = store
        self._world = world
        self._verifier = verifier
        self._shares_port = shares_port
        self._ports = ports
        self._readiness = Readiness()
        self._stop = trio.Event()
        self._open = trio.Event()
        self.port = 0
        self.metrics_port: int | None = None
        self.status = StoreStatus()
        self.bus = BusStatus(available=ports is None)

    async def run(self, *, task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, serve until `stop`, drain. Raises what the tree gives up with (`CannotListen`).

        Cancelling abandons everything at once: what was answered is durable all the same.
        """
        try:
            async with open_supervisor("", self._world.random) as tree:
                http = self._plant(tree)
                await self._open.wait()
                self._readiness.started = True
                task_status.started(self)
                await self._stop.wait()
                logger.info("stopping", drain_time=self._settings.drain_time)
                # Balancers are to notice before the door closes; until then all is as ever.
                await trio.sleep(self._settings.drain_notice_time)
                http.begin_drain()
                await self._stop_children(tree)
        finally:
            if self._ports is not None:
                with trio.CancelScope(shield=True):
                    await self._ports.aclose()

    def stop(self) -> None:
        """Begin to stop: not ready from this moment, gone within the drain time."""
        self._readiness.stopping = True
        self._stop.set()

    def _plant(self, tree: Supervisor) -> HttpActor:
        """Start the children, top to bottom."""
        settings, world, jitter = self._settings, self._world, self._world.random
        ledger = Ledger(settings.ledger_linger)
        # Announcements come once the store is open and has something to say; by then all stands.
        storage = tree.spawn(
            "storage",
            lambda: StorageActor(self._store, self.status, world, ledger, announce=announcer),
            capacity=_STORAGE_CAPACITY,
        )
        users = Users(jitter, capacity=settings.mailbox_capacity, grace=_GRACE_MIN)
        topics = Topics(storage, world, users.names)
        neighbours = topics.neighbours = self._join(tree, storage, users, topics)
        users.attendance = attendance = self._attend(tree)
        tree.spawn("users", lambda: users)
        tree.spawn("topics", lambda: topics)
        self.status.watchers += [users.store_changed, topics.store_changed]
        self.bus.watchers.append(users.bus_changed)
        scheduler = tree.spawn(
            "scheduler",
            lambda: Scheduler(storage, world, upkeep(settings)),
            capacity=_SCHEDULER_CAPACITY,
        )
        notifications, spooler = self._notify(tree, storage, scheduler)
        announcer = Announcer(users, notifications, topics, neighbours)
        users.company = Company(
            storage=storage,
            ledger=ledger,
            status=self.status,
            settings=delivery_settings(settings),
            world=world,
            acknowledged=notifications.acknowledged,
            present=topics.present,
            absent=topics.absent,
            behind=topics.behind,
            retire=users.retire,
            missed={},
            bus=self.bus,
            neighbours=neighbours,
        )
        connections = Connections(jitter, grace=_GRACE_MIN)
        tree.spawn("connections", lambda: connections)
        key_watch = KeyWatch(storage)
        tree.spawn("key-watch", lambda: key_watch)
        services = Services(
            settings=edge_settings(settings),
            world=world,
            storage=storage,
            status=self.status,
            bus=self.bus,
            neighbours=neighbours,
            users=users,
            notifications=notifications,
            connections=connections,
            attendance=attendance,
            authenticator=self._authenticator(storage),
            key_watch=key_watch,
            readiness=self._readiness,
            snapshot=lambda children_max: tuple(tree.snapshot(children_max)),
            spooler=spooler,
        )
        return self._open_doors(tree, services)

    def _join(
        self, tree: Supervisor, storage: Ref[StorageMessage], users: Users, topics: Topics
    ) -> Neighbours:
        if self._ports is None:
            return ALONE
        bridge = ClusterBridge(
            self._ports.bus, self._name, self.bus, storage=storage, users=users, topics=topics
        )
        tree.spawn("cluster", lambda: bridge)
        return bridge

    def _attend(self, tree: Supervisor) -> Attendance:
        if self._ports is None:
            return Attendance(self._name, self._world)
        presence = PresenceActor(self._ports.presence, self._name, self._world)
        tree.spawn("presence", lambda: presence)
        return presence

    def _notify(
        self, tree: Supervisor, storage: Ref[StorageMessage], scheduler: Ref[SchedulerMessage]
    ) -> tuple[Notifications, Spooler | None]:
        spooler = None
        if self._ports is not None:
            spooler = Spooler(
                self._ports.spool,
                storage,
                self.status,
                self._world,
                self._name,
                time_known=lambda changed, command: notifications.time_known(changed, command),
            )
            self.status.watchers.append(spooler.store_changed)
        notifications = Notifications(
            self._world.random,
            storage=storage,
            scheduler=scheduler,
            grace=_GRACE_MIN,
            commit=None if spooler is None else spooler.commit,
        )
        if (actor := spooler) is not None:
            tree.spawn("spooler", lambda: actor)
        tree.spawn("notifications", lambda: notifications)
        return notifications, spooler

    def _authenticator(self, storage: Ref[StorageMessage]) -> Authenticator:
        timeout, world = self._settings.store_timeout, self._world
        return Authenticator(
            self._verifier,
            KeyRing(key_finder(storage, timeout), limits=self._key_limits()),
            ticket_taker(storage, timeout),
            lambda: world.now_ms() / 1000,
        )

    def _key_limits(self) -> KeyRingLimits:
        # Only a node with a spool can do something for a producer while the store is away.
        return KeyRingLimits(outage=0.0 if self._ports is None else _KEY_OUTAGE)

    def _open_doors(self, tree: Supervisor, services: Services) -> HttpActor:
        settings, connections = self._settings, services.connections
        publishing = Publishing(services)
        limits, grace = http_limits(settings), 0.1 * settings.drain_time
        http = HttpActor(create_app(services, publishing), limits, grace=grace)
        tree.spawn("http", lambda: http)
        tree.spawn(
            "drainer", lambda: Drainer(connections, self._world, drain_time=settings.drain_time)
        )
        door = FrontDoor(
            websocket=WebSocketEdge(services, publishing).serve,
            http=http.serve,
            connections_max=settings.connections_max,
            shares_port=self._shares_port,
            type_base=TYPE_BASE,
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
            self._open_metrics(tree, services, settings.metrics_port)
        return http

    def _open_metrics(self, tree: Supervisor, services: Services, port: int) -> None:
        http = HttpActor(create_metrics_app(services), http_limits(self._settings), grace=0.0)
        tree.spawn("metrics-http", lambda: http)
        door = FrontDoor(websocket=_no_websocket, http=http.serve, type_base=TYPE_BASE)

        def opened(port: int) -> None:
            self.metrics_port = port

        tree.spawn(
            "metrics-door",
            lambda: FrontDoorActor(door, services.connections, self._settings.host, port, opened),
            policy=FATAL,
        )

    async def _stop_children(self, tree: Supervisor) -> None:
        started = trio.current_time()
        drain_time = self._settings.drain_time - self._settings.drain_notice_time
        for name, part in _STOPPED_BY.items():
            deadline = started + part * drain_time
            await tree.stop_child(name, max(_GRACE_MIN, deadline - trio.current_time()))


_SCHEDULER_CAPACITY: Final = 4096
"""One transaction may commit a thousand notifications, each with an expiry."""

_STORAGE_CAPACITY: Final = 20_000
"""Messages to the storage actor: reconnecting devices ask for a page each, all at once."""


async def _no_websocket(*_: Any) -> None:
    """The metrics port has no sockets to offer: closing is answer enough."""
