"""One node of a cluster in virtual time: its actors, its devices and its way to the store."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import trio

from simulation.world.store_way import StoreWay
from tests.actors.clock_kit import pass_time
from tests.actors.outlet_kit import FakeOutlet
from tests.actors.submitting_kit import Submitting
from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.cluster.state import ClusterState
from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import Arrived, DeviceAnswered, Left
from tocsin.actors.delivery.surroundings import Company, DeliverySettings
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.topics import Topics, TopicsWorker
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Supervisor
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.bus import Bus, BusRefusals
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_spool import MemorySpool
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, Publish
from tocsin.persistence.store.results import Result
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.seals import Seals
from tocsin.protocol.delivery.terms import SessionLimits
from tocsin.protocol.frames import frames
from tocsin.protocol.notifications.notification import Content

T = TypeVar("T")

NOW_MS = 1_000_000
"""The time that every node's wall clock shows at first."""


SECRET = "a secret of the nodes"


def now_ms() -> int:
    return NOW_MS + round(trio.current_time() * 1000)


def seals_of_the_nodes(secret: str = SECRET) -> Seals:
    seals = Seals()
    seals.learn(secret)
    return seals


class SharedStore(SqliteStore):
    """One store for all nodes; closed when the test is over, not with the first of them."""

    def __init__(self) -> None:
        super().__init__(":memory:", inline=True, entropy=bytes, footprints=True)

    async def aclose(self) -> None:
        return


class CuttableWay(StoreWay[SharedStore]):
    """One node's way to the store, which can be cut."""

    def __init__(self, store: SharedStore) -> None:
        super().__init__(store)
        self.is_cut = False

    async def _call(self, work: Callable[[], Awaitable[T]], *, writes: bool) -> T:
        if self.is_cut:
            raise StoreUnavailable("cut")
        return await super()._call(work, writes=writes)


@dataclass
class Device:
    """A device on one node, and the frames that it was sent."""

    user: str
    name: str
    node: Node
    outlet: FakeOutlet
    since: float

    @property
    def titles(self) -> list[str]:
        pushes = [msgspec.json.decode(push) for push in self.outlet.pushes]
        return [push["notification"]["title"] for push in pushes]

    @property
    def sequences(self) -> list[int]:
        return [msgspec.json.decode(push)["sequence"] for push in self.outlet.pushes]

    @property
    def statuses(self) -> list[str]:
        """The states of the bus that the device was told."""
        return [said.bus for said in self.outlet.said if isinstance(said, frames.Status)]

    @property
    def closing(self) -> Closing | None:
        return self.outlet.ends[0][0] if self.outlet.ends else None

    def ack(self, sequence: int) -> None:
        frame = frames.Ack(sequence=sequence)
        self.node.users.tell(self.user, DeviceAnswered(self.outlet.connection, frame))

    def leave(self) -> None:
        self.node.users.tell(self.user, Left(self.outlet.connection))


@dataclass
class Node(Submitting):
    """One node's actors."""

    name: str
    tree: Supervisor
    store: CuttableWay
    storage: Ref[StorageMessage]
    users: Users
    topics: Topics
    state: ClusterState
    port: Bus
    bus: BusStatus
    notifications: Notifications
    spool: MemorySpool
    line: SpoolLine
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def write(self, command: Command[Any]) -> Result:
        return await self.storage.ask(Write(command=command))

    async def post(
        self,
        *users: str,
        title: str = "hello",
        topic: str | None = None,
        expires_at: int | None = None,
    ) -> str:
        """Commit a notification, and wait until that is done; its id."""
        notification = f"{self.name}-{next(self.numbers)}"
        document = msgspec.json.encode({"id": notification, "title": title}).decode()
        content = Content(
            id=notification, revision=1, category="default", topic=topic, created_at=1,
            updated_at=1, expires_at=expires_at, document=document,
        )  # fmt: skip
        changed = await self.write(Publish(content, users, "shop"))
        assert isinstance(changed, Changed)
        return notification

    async def device(self, user: str = "ada", name: str = "phone") -> Device:
        """A device that was welcomed."""
        device = self.arrive(user, name)
        with trio.fail_after(30):
            while not device.outlet.said:
                await pass_time(0.001)
        return device

    def arrive(self, user: str = "ada", name: str = "phone") -> Device:
        """A device that has just said hello."""
        outlet = FakeOutlet(f"{self.name}-{next(self.numbers)}")
        outlet.last_heard = float("inf")
        self.users.arrive(user, Arrived(outlet, name, None, 64, None))
        return Device(user, name, self, outlet, trio.current_time())


class NodeParts:
    """The objects that the actors of one node share; `spawn` starts these actors."""

    def __init__(
        self, tree: Supervisor, name: str, broker: MemoryBroker, shared: SharedStore, seals: Seals
    ) -> None:
        self._tree, self._name = tree, name
        self._world = World(now_ms, lambda: 0.5, random.Random(name).randbytes)
        self._status, self._bus, self._ledger = StoreStatus(), BusStatus(False), Ledger(0.01)
        self._port, self._spool = broker.bus(name), broker.spool(name)
        self._timing = Timing()
        self._store = CuttableWay(shared)
        self._storage: Ref[StorageMessage] = tree.spawn(
            f"{name}/storage", self._storage_actor, capacity=10_000
        )
        self._users = Users(Attendance(name, self._world), capacity=1000)
        self._line = SpoolLine(self._spool, self._storage, self._status)
        self._state = ClusterState(
            name,
            self._bus,
            world=self._world,
            seals=seals,
            refusals=BusRefusals(),
            doubt=self._line.state.doubt,
            timing=self._timing,
        )
        self._topics = Topics(self._users.names, self._state)
        self._notifications = Notifications(
            storage=self._storage,
            scheduler=Ref("scheduler", Mailbox(10_000)),
            commit=self._line.commit,
            timing=self._timing,
        )
        self._announcer = Announcer(self._users, self._notifications, self._topics, self._state)

    def spawn(self, limits: SessionLimits) -> Node:
        self._bus.watchers.append(self._users.bus_changed)
        self._status.watchers += [
            self._users.store_changed,
            self._topics.store_changed,
            self._line.store_changed,
        ]
        self._status.unannounced.append(self._users.recount)
        self._spawn_bridge()
        self._spawn_delivery(limits)
        self._spawn_posting()
        return Node(
            *(self._name, self._tree, self._store, self._storage, self._users, self._topics),
            *(self._state, self._port, self._bus, self._notifications, self._spool, self._line),
        )

    def _storage_actor(self) -> StorageActor:
        return StorageActor(
            self._store, self._status, self._world, self._ledger, announce=self._announcer
        )

    def _spawn_bridge(self) -> None:
        self._tree.spawn(
            f"{self._name}/cluster",
            lambda: ClusterBridge(
                self._state,
                self._port,
                storage=self._storage,
                users=self._users,
                topics=self._topics,
                dispatch=self._announcer.dispatch,
            ),
        )

    def _spawn_delivery(self, limits: SessionLimits) -> None:
        company = self._company(limits)
        self._tree.spawn(
            f"{self._name}/users", lambda: UsersKeeper(company, lambda: 0.0, grace=1.0)
        )
        self._tree.spawn(
            f"{self._name}/topics", lambda: TopicsWorker(self._topics, self._storage, self._world)
        )

    def _company(self, limits: SessionLimits) -> Company:
        return Company(
            users=self._users,
            storage=self._storage,
            ledger=self._ledger,
            status=self._status,
            settings=DeliverySettings(self._name, limits, 1000.0, 10, 20),
            world=self._world,
            acknowledged=self._notifications.acknowledged,
            absent=self._topics.absent,
            behind=self._topics.behind,
            bus=self._bus,
            neighbours=self._state,
            timing=self._timing,
        )

    def _spawn_posting(self) -> None:
        self._tree.spawn(
            f"{self._name}/spooler",
            lambda: Spooler(
                self._line,
                self._spool,
                self._storage,
                self._status,
                self._world,
                self._name,
                neighbours=self._state,
                time_known=lambda changed, command: None,
            ),
        )
        self._tree.spawn(
            f"{self._name}/notifications",
            lambda: DirectoryKeeper(self._notifications, lambda: 0.0, grace=1.0),
        )
