"""What every node is made of, whatever doors are put into it: the actors, and their order.

    storage         group commit; answers reads; owns the store
    cluster         the bridge: this node's voice and ears on the bus
    presence        tells all nodes who is connected to this one
    users           directory of user actors: from a user's first device to the last
    topics          brings what is published to topics to those who are online
    scheduler       wakes what is due
    spooler         what is posted while the store is away, and what comes behind that
    notifications   directory of the live notifications
    connections     one temporary actor per socket
    key watch       ends the connections of revoked API keys
    drainer         does nothing until stop; then says goodbye in batches

A node alone has no cluster, presence and spooler. There is no socket in it, no clock but Trio's and
no chance but the world's: `tocsin.node` puts real doors into it, and the simulation runs several in
one process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.delivery.attendance import Attendance, PresenceActor
from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.scheduler import (
    Scheduler,
    SchedulerMessage,
    StoreBack,
    expire_due,
    tell_scheduler,
)
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime import Ref, Supervisor
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.auth.key_ring import KeyRing, KeyRingLimits
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.credentials import key_finder, ticket_taker
from tocsin.server.key_watch import KeyWatch
from tocsin.server.services import Readiness, Services
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts, delivery_settings, edge_settings, upkeep

# By when each child must have ended, as a part of the drain time, in the order of their stopping:
# what others need is stopped after them, so the doors close first, and the store last.
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
_SCHEDULER_CAPACITY: Final = 4096
"""One transaction may commit a thousand notifications, each with an expiry."""
_STORAGE_CAPACITY: Final = 20_000
"""Messages to the storage actor: reconnecting devices ask for a page each, all at once."""


class Trunk:
    """Grown once; without a *verifier* it knows API keys only, with *ports* it has neighbours."""

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
        self.readiness = Readiness()
        self.status = StoreStatus()
        self.bus = BusStatus(available=ports is None)

    def grow(self, tree: Supervisor) -> Services:
        """Start all of it in *tree*, top to bottom; what the doors need of it."""
        settings, world, jitter = self._settings, self._world, self._world.random
        ledger = Ledger(settings.ledger_linger)
        # Announcements come once the store is open and has something to say; by then all stands.
        storage = self._keep(tree, ledger, lambda: announcer)
        users = Users(jitter, capacity=settings.mailbox_capacity, grace=_GRACE_MIN)
        topics = Topics(storage, world, users.names)
        neighbours = topics.neighbours = self._join(tree, storage, users, topics)
        users.attendance = attendance = self._attend(tree)
        tree.spawn("users", lambda: users)
        tree.spawn("topics", lambda: topics)
        self.status.watchers += [users.store_changed, topics.store_changed]
        self.bus.watchers.append(users.bus_changed)
        scheduler = self._schedule(tree, storage)
        notifications, spooler = self._notify(tree, storage, scheduler)
        if spooler is not None:
            spooler.join(neighbours)
        announcer = Announcer(users, notifications, topics, neighbours)
        users.company = Company(
            storage=storage,
            ledger=ledger,
            status=self.status,
            settings=delivery_settings(settings),
            world=world,
            acknowledged=notifications.acknowledged,
            absent=topics.absent,
            behind=topics.behind,
            retire=users.retire,
            missed={},
            bus=self.bus,
            neighbours=neighbours,
        )
        connections = self._connect(tree)
        key_watch = KeyWatch(storage)
        tree.spawn("key-watch", lambda: key_watch)
        return Services(
            loop_faults=self._loop_faults,
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
            readiness=self.readiness,
            snapshot=lambda children_max: tuple(tree.snapshot(children_max)),
            spooler=spooler,
        )

    def _keep(
        self, tree: Supervisor, ledger: Ledger, announcer: Callable[[], Announcer]
    ) -> Ref[StorageMessage]:
        first = partial(expire_due, upkeep=upkeep(self._settings))
        storage = tree.spawn(
            "storage",
            lambda: StorageActor(
                self._store, self.status, self._world, ledger, announce=announcer(), first=first
            ),
            capacity=_STORAGE_CAPACITY,
        )
        self.status.watchers.append(self._reached)
        return storage

    def _schedule(self, tree: Supervisor, storage: Ref[StorageMessage]) -> Ref[SchedulerMessage]:
        scheduler = tree.spawn(
            "scheduler",
            lambda: Scheduler(storage, self._world, upkeep(self._settings)),
            capacity=_SCHEDULER_CAPACITY,
        )
        self.status.watchers.append(partial(_wake, scheduler))
        return scheduler

    async def fell(self, tree: Supervisor) -> None:
        """Stop all children of *tree*, doors included, in their order and within the drain time."""
        started = trio.current_time()
        drain_time = self._settings.drain_time - self._settings.drain_notice_time
        for name, part in _STOPPED_BY.items():
            deadline = started + part * drain_time
            await tree.stop_child(name, max(_GRACE_MIN, deadline - trio.current_time()))

    def _reached(self, available: bool) -> None:
        """The store is there: now the nodes' secret is known, without which nobody is heard."""
        if available and self._ports is not None:
            self._ports.seals.learn(self._store.secret)

    def _join(
        self, tree: Supervisor, storage: Ref[StorageMessage], users: Users, topics: Topics
    ) -> Neighbours:
        if self._ports is None:
            return ALONE
        bridge = ClusterBridge(
            self._ports.bus,
            self._name,
            self.bus,
            storage=storage,
            users=users,
            topics=topics,
            world=self._world,
            seals=self._ports.seals,
            refusals=self._ports.refusals,
        )
        self.status.watchers.append(bridge.store_changed)
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

    def _connect(self, tree: Supervisor) -> Connections:
        connections = Connections(self._world.random, grace=_GRACE_MIN)
        tree.spawn("connections", lambda: connections)
        drain_time = self._settings.drain_time
        tree.spawn("drainer", lambda: Drainer(connections, self._world, drain_time=drain_time))
        return connections

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


def _wake(scheduler: Ref[SchedulerMessage], available: bool) -> None:
    if available:
        tell_scheduler(scheduler, StoreBack())
