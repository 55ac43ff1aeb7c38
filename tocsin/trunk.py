"""The actors of every node, and their order, whichever doors are put among them.

    storage         group commit; answers reads; owns the store
    cluster         the bridge: this node's voice and ears on the bus
    presence        tells all nodes which devices are connected to this one
    spooler         spools commands while the store is away, and the commands behind these
    users           directory of user actors: from a user's first device to the last
    topics          brings new entries of topics to the users who are online
    scheduler       has the store release, expire and purge notifications when they are due
    sinks           carries receipts to the webhooks whose lease this node has
    notifications   directory of the live notifications
    escalator       makes sends of plans that are due
    channel-…       one for each channel: carries sends to people
    connections     one temporary actor per socket
    key-watch       ends the connections of revoked API keys
    connector-…     one for each table of the settings: takes from a broker, and posts
    drainer         does nothing until the node stops; then says goodbye in batches

`Trunk._tree_with` is that tuple, with the doors of `tocsin.node` in their places: children are
started from top to bottom and stopped from bottom to top.

A node alone has no cluster, presence and spooler. The trunk has no socket, no clock but Trio's and
no chance but the world's: `tocsin.node` puts real doors into it, and the simulation runs several
trunks in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.cluster.state import ClusterState
from tocsin.actors.delivery.attendance import Attendance, PresenceActor, SharedAttendance
from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.directory import Directory, DirectoryKeeper
from tocsin.actors.escalation.children import EscalationActors
from tocsin.actors.escalation.configured import ConfiguredChannels
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.scheduler import (
    Scheduler,
    SchedulerMessage,
    expire_due,
    tell_store_changed,
    tell_times,
)
from tocsin.actors.publishing.topics import Topics, TopicsWorker
from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import PARKED
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.actors.runtime.supervisor import Supervisor
from tocsin.actors.sinks.keeper import SinksKeeper
from tocsin.actors.sinks.table import SinksTable
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.actors.sinks.watch import ReceiptWatch
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.protocol.outbound import NOWHERE, OutboundPort
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.auth.key_ring import KeyRing, KeyRingLimits
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.connector_status import Connectors, ConnectorTerms
from tocsin.server.credentials import key_finder, ticket_taker
from tocsin.server.ingest.children import connector_children
from tocsin.server.key_watch import KeyWatch, KeyWatcher
from tocsin.server.services import Readiness, Services
from tocsin.settings import Settings
from tocsin.wiring import ClusterPorts, delivery_settings, edge_settings, upkeep

GRACE_MIN: Final = 0.2
"""Seconds that every child has to stop at least, even if the drain time is over."""
_KEY_OUTAGE: Final = 900.0
"""Seconds without the store in which API keys that were in use go on working."""
_SCHEDULER_CAPACITY: Final = 4096
"""Messages to the scheduler: a transaction may commit a thousand notifications that expire."""
_STORAGE_CAPACITY: Final = 20_000
"""Messages to the storage actor: reconnecting devices ask for a page each, all at once."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors that a node puts into its trunk; the simulation has none."""

    metrics: tuple[Child, ...] = ()
    http: tuple[Child, ...] = ()
    front_door: tuple[Child, ...] = ()


NO_DOORS: Final = Doors()


class Trunk:
    """The supervision tree of a node, which is started once.

    Without a *verifier* the node takes API keys only; with *ports* it has neighbours. The addresses
    and the tables are made first, since none of them needs a tree. So `services` are there from the
    beginning, and work once the trunk was started.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        world: World,
        verifier: TokenVerifier | None,
        ports: ClusterPorts | None,
        loop_faults: Callable[[], int] = lambda: 0,
        connectors: Sequence[ConnectorTerms] = (),
        outbound: OutboundPort = NOWHERE,
        channels: ConfiguredChannels | None = None,
        sinks: Sequence[SinkTerms] = (),
        timing: Timing | None = None,
    ) -> None:
        assert settings.node is not None, "the node is named before it is started"
        self._settings = settings
        self._store = store
        self._world = world
        self._verifier = verifier
        self._outbound = outbound
        self.channels = channels or ConfiguredChannels()
        self._storage: Ref[StorageMessage] = Ref("/storage", Mailbox(_STORAGE_CAPACITY))
        self._escalation = EscalationActors(self.channels, self._storage, world, settings.node)
        self._scheduler: Ref[SchedulerMessage] = Ref("/scheduler", Mailbox(_SCHEDULER_CAPACITY))
        self._status = StoreStatus()
        self._bus = BusStatus(available=ports is None)
        self._timing = timing or Timing()
        self.ledger = Ledger(settings.ledger_linger)
        self._cluster = None if ports is None else self._joined(settings.node, ports)
        self._neighbours: Neighbours = ALONE
        self._attendance = Attendance(settings.node, world)
        commit = None
        if (cluster := self._cluster) is not None:
            self._neighbours, self._attendance = cluster.state, cluster.attendance
            commit = cluster.line.commit
        self._users = Users(self._attendance, capacity=settings.mailbox_capacity)
        self.topics = Topics(self._users.names, self._neighbours)
        self._notifications = Notifications(self._storage, self._scheduler, commit, self._timing)
        self._connections = Connections()
        self._connectors = Connectors(connectors)
        self._key_watch = KeyWatch()
        self._receipts = ReceiptWatch()
        self._sinks = SinksTable(self._receipts, sinks, self._timing, self.channels.box)
        told = self._users, self._notifications, self.topics, self._neighbours, self._receipts
        self._announcer = Announcer(*told)
        self._watch_health()
        self.services = self._services(loop_faults)
        self._tree: Supervisor | None = None
        self._children: tuple[Child, ...] = ()

    # --- The tree --------------------------------------------------------------------------------

    def _tree_with(self, doors: Doors) -> tuple[Child, ...]:
        """All children, to be started downwards and stopped upwards."""
        return (
            *doors.metrics,
            Child("storage", self._make_storage, stopped_by=1.0, ref=self._storage),
            *self._cluster_children(),
            Child("users", self._make_users, stopped_by=0.85),
            Child("topics", self._make_topics, stopped_by=0.85),
            Child("scheduler", self._make_scheduler, stopped_by=0.85, ref=self._scheduler),
            Child("sinks", self._make_sinks, stopped_by=0.8, policy=PARKED),
            Child("notifications", partial(self._keep, self._notifications), stopped_by=0.8),
            *self._escalation.children(stopped_by=0.8),
            Child("connections", partial(self._keep, self._connections), stopped_by=0.75),
            Child("key-watch", self._make_key_watcher, stopped_by=0.75),
            *doors.http,
            Child("drainer", self._make_drainer, stopped_by=0.6),
            *connector_children(self._connectors, self.services, self._world.random),
            *doors.front_door,
        )

    def _cluster_children(self) -> tuple[Child, ...]:
        if (cluster := self._cluster) is None:
            return ()
        return (
            Child("cluster", partial(self._make_bridge, cluster), stopped_by=0.9),
            Child("presence", cluster.make_presence, stopped_by=0.9),
            Child("spooler", partial(self._make_spooler, cluster), stopped_by=0.85),
        )

    async def start(self, tree: Supervisor, doors: Doors = NO_DOORS) -> None:
        """Start all children in *tree*, from top to bottom; returns when the last was started.

        Cancelling leaves the children that were started to the *tree*.
        """
        self._tree, self._children = tree, self._tree_with(doors)
        for child in self._children:
            await child.start(tree)

    async def stop(self, tree: Supervisor) -> None:
        """Stop all children of *tree* from bottom to top, within the drain time.

        Cancelling abandons the children that are left.
        """
        parts = {child.name: child.stopped_by for child in self._children}
        began = trio.current_time()
        drain_time = self._settings.drain_time - self._settings.drain_notice_time

        def grace(name: str) -> float:
            return max(GRACE_MIN, began + parts[name] * drain_time - trio.current_time())

        await tree.stop(grace)

    # --- Tables ----------------------------------------------------------------------------------

    def _joined(self, node: str, ports: ClusterPorts) -> _Cluster:
        line = SpoolLine(ports.spool, self._storage, self._status)
        state = ClusterState(
            node,
            self._bus,
            world=self._world,
            seals=ports.seals,
            refusals=ports.refusals,
            doubt=line.state.doubt,
            timing=self._timing,
            snapshot=self._snapshot,
        )
        attendance = SharedAttendance(node, self._world, ports.presence)
        return _Cluster(ports, state, attendance, line)

    def _watch_health(self) -> None:
        """Have the tables told, in this order, when the store or the bus is lost, or is back.

        And when a transaction was lost that may be committed.
        """
        watchers = self._status.watchers
        if (cluster := self._cluster) is not None:
            watchers.append(partial(cluster.ports.learn_secret, self._store))
            watchers += [cluster.state.store_changed, cluster.line.store_changed]
        watchers += [self._users.store_changed, self.topics.store_changed]
        watchers.append(partial(tell_store_changed, self._scheduler))
        watchers.append(self._escalation.store_changed)
        self._status.unannounced += [
            self._users.recount,
            partial(self.topics.store_changed, available=True),
            partial(tell_store_changed, self._scheduler, available=True),
            partial(self._escalation.store_changed, available=True),
            self._receipts.committed,
        ]
        self._bus.watchers.append(self._users.bus_changed)

    def _services(self, loop_faults: Callable[[], int]) -> Services:
        return Services(
            loop_faults=loop_faults,
            outbound=self._outbound,
            channels=self.channels,
            store_secret=lambda: self._store.secret,
            receipts=self._receipts,
            sinks=self._sinks,
            timing=self._timing,
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
            spooler=None if self._cluster is None else self._cluster.line,
            connectors=self._connectors,
        )

    def _authenticator(self) -> Authenticator:
        timeout, world, storage = self._settings.store_timeout, self._world, self._storage
        # While the store is away, only a node with a spool can serve a producer, whose key it then
        # has to know.
        limits = KeyRingLimits(outage=0.0 if self._cluster is None else _KEY_OUTAGE)
        return Authenticator(
            self._verifier,
            KeyRing(key_finder(storage, timeout), limits=limits),
            ticket_taker(storage, timeout),
            lambda: world.now_ms() / 1000,
        )

    def _snapshot(self, children_max: int) -> tuple[Snapshot, ...]:
        return () if self._tree is None else tuple(self._tree.snapshot(children_max))

    # --- Actors, made anew at each incarnation ---------------------------------------------------

    def _make_storage(self) -> StorageActor:
        return StorageActor(
            self._store,
            self._status,
            self._world,
            self.ledger,
            announce=self._announcer,
            first=partial(expire_due, upkeep=upkeep(self._settings)),
        )

    def _make_bridge(self, cluster: _Cluster) -> ClusterBridge:
        return ClusterBridge(
            cluster.state,
            cluster.ports.bus,
            storage=self._storage,
            users=self._users,
            topics=self.topics,
            dispatch=self._announcer.dispatch,
        )

    def _make_spooler(self, cluster: _Cluster) -> Spooler:
        return Spooler(
            cluster.line,
            cluster.ports.spool,
            self._storage,
            self._status,
            self._world,
            cluster.state.node,
            neighbours=cluster.state,
            time_known=partial(tell_times, self._scheduler),
        )

    def _make_users(self) -> UsersKeeper:
        company = Company(
            users=self._users,
            storage=self._storage,
            ledger=self.ledger,
            status=self._status,
            settings=delivery_settings(self._settings),
            world=self._world,
            acknowledged=self._notifications.acknowledged,
            absent=self.topics.absent,
            behind=self.topics.behind,
            bus=self._bus,
            neighbours=self._neighbours,
            timing=self._timing,
        )
        return UsersKeeper(company, self._world.random, grace=GRACE_MIN)

    def _make_topics(self) -> TopicsWorker:
        return TopicsWorker(self.topics, self._storage, self._world)

    def _make_scheduler(self) -> Scheduler:
        known = self._escalation.plan_known
        return Scheduler(self._storage, self._world, upkeep(self._settings), plan_known=known)

    def _make_sinks(self) -> SinksKeeper:
        assert self._settings.node is not None, "the node is named before it is started"
        return SinksKeeper(
            self._sinks,
            self._receipts,
            self._storage,
            self._outbound,
            self._world,
            node=self._settings.node,
            epoch=lambda: self._status.epoch,
            disable_after=self._settings.sink_disable_after,
            grace=GRACE_MIN,
        )

    def _make_key_watcher(self) -> KeyWatcher:
        return KeyWatcher(self._storage, self._key_watch)

    def _make_drainer(self) -> Drainer:
        return Drainer(self._connections, self._world, drain_time=self._settings.drain_time)

    def _keep(self, directory: Directory[Any]) -> DirectoryKeeper:
        return DirectoryKeeper(directory, self._world.random, grace=GRACE_MIN)


@dataclass(frozen=True, slots=True)
class _Cluster:
    """The ports of a node that is not alone, and the tables behind them."""

    ports: ClusterPorts
    state: ClusterState
    attendance: SharedAttendance
    line: SpoolLine

    def make_presence(self) -> PresenceActor:
        """A new incarnation of the presence actor."""
        return PresenceActor(self.attendance, self.ports.presence)
