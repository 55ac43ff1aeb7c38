"""What every node is made of, whatever doors are put into it: the actors, and their order.

    storage         group commit; answers reads; owns the store
    cluster         the bridge: this node's voice and ears on the bus
    presence        tells all nodes who is connected to this one
    spooler         takes what is posted while the store is away, and what comes behind that
    users           directory of user actors: from a user's first device to the last
    topics          brings what is published to topics to those who are online
    scheduler       wakes what is due
    notifications   directory of the live notifications
    connections     one temporary actor per socket
    key-watch       ends the connections of revoked API keys
    drainer         does nothing until stop; then says goodbye in batches

`Trunk._tree_with` is that tuple, with the doors of `tocsin.node` in their places: children are
started from top to bottom and stopped from bottom to top.

A node alone has no cluster, presence and spooler. There is no socket in it, no clock but Trio's and
no chance but the world's: `tocsin.node` puts real doors into it, and the simulation runs several in
one process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.delivery.attendance import (
    Attendance,
    PresenceActor,
    SharedAttendance,
)
from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.directory import Directory, DirectoryKeeper
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.scheduler import (
    Scheduler,
    SchedulerMessage,
    StoreBack,
    expire_due,
    tell_scheduler,
    tell_times,
)
from tocsin.actors.publishing.topics import Topics, TopicsWorker
from tocsin.actors.runtime import Child, Mailbox, Ref, Snapshot, Supervisor
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.server.auth import Authenticator, KeyRing, KeyRingLimits, TokenVerifier
from tocsin.server.credentials import key_finder, ticket_taker
from tocsin.server.key_watch import KeyWatch, KeyWatcher
from tocsin.server.services import Readiness, Services
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts, delivery_settings, edge_settings, upkeep

GRACE_MIN: Final = 0.2
"""Seconds that a child has to stop, at least, however late it is."""
_KEY_OUTAGE: Final = 900.0
"""Seconds without the store in which API keys that were in use go on working."""
_SCHEDULER_CAPACITY: Final = 4096
"""One transaction may commit a thousand notifications, each with an expiry."""
_STORAGE_CAPACITY: Final = 20_000
"""Messages to the storage actor: reconnecting devices ask for a page each, all at once."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What a node puts into its trunk; the simulation has none of it."""

    metrics: tuple[Child, ...] = ()
    http: Child | None = None
    front_door: Child | None = None


NO_DOORS: Final = Doors()


class Trunk:
    """Started once; without a *verifier* it knows API keys only, with *ports* it has neighbours.

    `services` are there from the beginning, and work once the trunk was started.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        world: World,
        verifier: TokenVerifier | None,
        ports: ClusterPorts | None,
        loop_faults: Callable[[], int] = lambda: 0,
    ) -> None:
        assert settings.node is not None, "the node is named before it is started"
        self._name = settings.node
        self._settings = settings
        self._store = store
        self._world = world
        self._verifier = verifier
        self._ports = ports
        self._loop_faults = loop_faults
        self._status = StoreStatus()
        self._bus = BusStatus(available=ports is None)
        self._storage: Ref[StorageMessage] = Ref("/storage", Mailbox(_STORAGE_CAPACITY))
        self._scheduler: Ref[SchedulerMessage] = Ref("/scheduler", Mailbox(_SCHEDULER_CAPACITY))
        self.ledger = Ledger(settings.ledger_linger)
        self._tree: Supervisor | None = None
        self._children: tuple[Child, ...] = ()
        self._plant()
        self.services = self._services()

    # --- The tree --------------------------------------------------------------------------------

    def _tree_with(self, doors: Doors) -> tuple[Child, ...]:
        """All children: they are started downwards, and stopped upwards."""
        upkeep_ = upkeep(self._settings)
        drain_time = self._settings.drain_time
        children = (
            *doors.metrics,
            Child("storage", self._make_storage, stopped_by=1.0, ref=self._storage),
            *self._cluster_children,
            Child("users", self._make_users, stopped_by=0.85),
            Child(
                "topics",
                lambda: TopicsWorker(self._topics, self._storage, self._world),
                stopped_by=0.85,
            ),
            Child(
                "scheduler",
                lambda: Scheduler(self._storage, self._world, upkeep_),
                stopped_by=0.85,
                ref=self._scheduler,
            ),
            Child("notifications", lambda: self._keep(self._notifications), stopped_by=0.8),
            Child("connections", lambda: self._keep(self._connections), stopped_by=0.75),
            Child("key-watch", lambda: KeyWatcher(self._storage, self._key_watch), stopped_by=0.75),
            doors.http,
            Child(
                "drainer",
                lambda: Drainer(self._connections, self._world, drain_time=drain_time),
                stopped_by=0.6,
            ),
            doors.front_door,
        )
        return tuple(child for child in children if child is not None)

    async def start(self, tree: Supervisor, doors: Doors = NO_DOORS) -> None:
        """Start all children in *tree*, from top to bottom; returns when the last was started."""
        self._tree, self._children = tree, self._tree_with(doors)
        for child in self._children:
            if child.after is not None:
                await child.after()
            tree.spawn(child.name, child.factory, policy=child.policy, ref=child.ref)

    async def stop(self, tree: Supervisor) -> None:
        """Stop all children of *tree* from bottom to top, within the drain time."""
        parts = {child.name: child.stopped_by for child in self._children}
        began = trio.current_time()
        drain_time = self._settings.drain_time - self._settings.drain_notice_time

        def grace(name: str) -> float:
            return max(GRACE_MIN, began + parts[name] * drain_time - trio.current_time())

        await tree.stop(grace)

    # --- What it is made of ----------------------------------------------------------------------

    def _keep(self, directory: Directory[Any]) -> DirectoryKeeper:
        return DirectoryKeeper(directory, self._world.random, grace=GRACE_MIN)

    def _make_users(self) -> UsersKeeper:
        company = Company(
            users=self._users,
            storage=self._storage,
            ledger=self.ledger,
            status=self._status,
            settings=delivery_settings(self._settings),
            world=self._world,
            acknowledged=self._notifications.acknowledged,
            absent=self._topics.absent,
            behind=self._topics.behind,
            bus=self._bus,
            neighbours=self._neighbours,
        )
        return UsersKeeper(company, self._world.random, grace=GRACE_MIN)

    def _make_storage(self) -> StorageActor:
        first = partial(expire_due, upkeep=upkeep(self._settings))
        return StorageActor(
            self._store,
            self._status,
            self._world,
            self.ledger,
            announce=self._announcer,
            first=first,
        )

    def _reached(self, available: bool) -> None:
        """The store is there: now the nodes' secret is known, without which nobody is heard."""
        if available and self._ports is not None:
            self._ports.seals.learn(self._store.secret)

    def _services(self) -> Services:
        return Services(
            loop_faults=self._loop_faults,
            settings=edge_settings(self._settings),
            world=self._world,
            storage=self._storage,
            status=self._status,
            bus=self._bus,
            neighbours=self._neighbours,
            users=self._users,
            notifications=self._notifications,
            connections=self._connections,
            attendance=self._attendance,
            authenticator=self._authenticator(),
            key_watch=self._key_watch,
            readiness=Readiness(),
            snapshot=self._snapshot,
            spooler=self._spooler,
        )

    def _snapshot(self, children_max: int) -> tuple[Snapshot, ...]:
        return () if self._tree is None else tuple(self._tree.snapshot(children_max))

    def _plant(self) -> None:
        settings, world = self._settings, self._world
        storage, status, bus = self._storage, self._status, self._bus
        status.watchers.append(self._reached)
        self._attendance = Attendance(self._name, world)
        if (ports := self._ports) is not None:
            attendance = SharedAttendance(self._name, world, ports.presence)
            self._attendance = attendance
        self._users = users = Users(self._attendance, capacity=settings.mailbox_capacity)
        self._topics = topics = Topics(users.names)
        self._spooler: Spooler | None = None
        self._neighbours: Neighbours = ALONE
        self._cluster_children: tuple[Child, ...] = ()
        if ports is not None:
            presence = ports.presence
            self._neighbours = bridge = ClusterBridge(
                ports.bus,
                self._name,
                bus,
                storage=storage,
                users=users,
                topics=topics,
                world=world,
                seals=ports.seals,
                refusals=ports.refusals,
                dispatch=lambda news: self._announcer.dispatch(news),
            )
            self._spooler = spooler = Spooler(
                ports.spool,
                storage,
                status,
                world,
                self._name,
                time_known=partial(tell_times, self._scheduler),
            )
            spooler.join(bridge)
            status.watchers += [bridge.store_changed, spooler.store_changed]
            self._cluster_children = (
                Child("cluster", lambda: bridge, stopped_by=0.9),
                Child("presence", lambda: PresenceActor(attendance, presence), stopped_by=0.9),
                Child("spooler", lambda: spooler, stopped_by=0.85),
            )
        self._notifications = Notifications(
            storage=storage,
            scheduler=self._scheduler,
            commit=None if self._spooler is None else self._spooler.commit,
        )
        self._connections = Connections()
        self._key_watch = KeyWatch()
        topics.neighbours = self._neighbours
        status.watchers += [users.store_changed, topics.store_changed]
        status.watchers.append(partial(_wake, self._scheduler))
        bus.watchers.append(users.bus_changed)
        self._announcer = Announcer(users, self._notifications, topics, self._neighbours)

    def _authenticator(self) -> Authenticator:
        timeout, world, storage = self._settings.store_timeout, self._world, self._storage
        return Authenticator(
            self._verifier,
            KeyRing(key_finder(storage, timeout), limits=self._key_limits()),
            ticket_taker(storage, timeout),
            lambda: world.now_ms() / 1000,
        )

    def _key_limits(self) -> KeyRingLimits:
        # Only a node with a spool can do something for a producer while the store is away.
        return KeyRingLimits(outage=0.0 if self._ports is None else _KEY_OUTAGE)


def _wake(scheduler: Ref[SchedulerMessage], available: bool) -> None:
    if available:
        tell_scheduler(scheduler, StoreBack())
