"""Several nodes in one process: their actors, one store and one memory broker, in virtual time."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import trio

from simulation.world.store_way import StoreWay
from tests.actors.clock_kit import pass_time
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.cluster.state import ClusterState
from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import Arrived, DeviceAnswered, Left
from tocsin.actors.delivery.surroundings import Company, DeliverySettings
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications, Submit
from tocsin.actors.publishing.topics import Topics, TopicsWorker
from tocsin.actors.runtime import Mailbox, Ref, Reply, Supervisor, open_supervisor
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.bus import Bus, BusRefusals, Spool
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_spool import MemorySpool
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import Changed, Command, Publish, Result, StoreUnavailable
from tocsin.protocol import frames
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.notification import Content
from tocsin.protocol.seals import Seals
from tocsin.protocol.terms import SessionLimits

T = TypeVar("T")

NOW_MS = 1_000_000
"""What every node's wall clock shows at first."""


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
        super().__init__(":memory:", inline=True, entropy=bytes)

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
    """A device on one node, and what it has seen."""

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
        """What it was told of the bus."""
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
class Node:
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

    async def post(self, *users: str, title: str = "hello", topic: str | None = None) -> str:
        """Commit a notification, and wait until that is done; its id."""
        notification = f"{self.name}-{next(self.numbers)}"
        document = msgspec.json.encode({"id": notification, "title": title}).decode()
        content = Content(
            id=notification, revision=1, category="default", topic=topic, created_at=1,
            updated_at=1, expires_at=None, document=document,
        )  # fmt: skip
        changed = await self.write(Publish(content, users, "shop"))
        assert isinstance(changed, Changed)
        return notification

    def submit(self, command: Spoolable) -> Reply[Committal]:
        """Ask for it as producers do: it goes to the store or into the spool."""
        reply: Reply[Committal] = Reply()
        id_ = command.content.id if isinstance(command, Publish) else command.notification
        self.notifications.submit(id_, Submit(command=command, reply=reply))
        return reply

    async def ask(self, command: Spoolable) -> Committal:
        with trio.fail_after(30):
            return await self.submit(command).wait()

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


@dataclass
class Cluster:
    tree: Supervisor
    broker: MemoryBroker
    store: SharedStore
    limits: SessionLimits
    nodes: dict[str, Node]

    def join(self, name: str, seals: Seals | None = None) -> Node:
        """Start one more node; *seals* are those of the nodes otherwise."""
        seals = seals or seals_of_the_nodes()
        node = plant(self.tree, name, self.broker, self.store, self.limits, seals)
        self.nodes[name] = node
        return node

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]


@asynccontextmanager
async def a_cluster(*names: str, resend_delay: float = 1000.0) -> AsyncIterator[Cluster]:
    """Nodes with these *names*, all of which hear one another."""
    limits = SessionLimits(64, 1 << 20, Backoff(resend_delay, 1000.0), 3, 50)
    store = SharedStore()
    await store.open()
    broker = MemoryBroker()
    async with open_supervisor("", lambda: 0.0) as tree:
        cluster = Cluster(tree, broker, store, limits, {})
        for name in names:
            cluster.join(name)
        await pass_time(3.0)
        yield cluster
        for name in cluster.nodes:
            for part in ("notifications", "spooler", "topics", "users", "cluster", "storage"):
                await tree.stop_child(f"{name}/{part}", 1.0)


def replace(port: Bus | Spool, **methods: Any) -> None:
    """Let *port* do something else from now on."""
    for name, method in methods.items():
        setattr(port, name, method)


def plant(
    tree: Supervisor,
    name: str,
    broker: MemoryBroker,
    shared: SharedStore,
    limits: SessionLimits,
    seals: Seals,
) -> Node:
    world = World(now_ms, lambda: 0.5, random.Random(name).randbytes)
    status, bus, ledger, store = StoreStatus(), BusStatus(False), Ledger(0.01), CuttableWay(shared)
    storage: Ref[StorageMessage] = tree.spawn(
        f"{name}/storage",
        lambda: StorageActor(store, status, world, ledger, announce=announcer),
        capacity=10_000,
    )
    users = Users(Attendance(name, world), capacity=1000)
    port, spool = broker.bus(name), broker.spool(name)
    line = SpoolLine(spool, storage, status)
    state = ClusterState(
        name, bus, world=world, seals=seals, refusals=BusRefusals(), doubt=line.state.doubt
    )
    topics = Topics(users.names, state)
    notifications = Notifications(
        storage=storage,
        scheduler=Ref("scheduler", Mailbox(10_000)),
        commit=line.commit,
    )
    announcer = Announcer(users, notifications, topics, state)
    company = Company(
        users=users,
        storage=storage,
        ledger=ledger,
        status=status,
        settings=DeliverySettings(name, limits, 1000.0, 10, 20),
        world=world,
        acknowledged=notifications.acknowledged,
        absent=topics.absent,
        behind=topics.behind,
        bus=bus,
        neighbours=state,
    )
    bus.watchers.append(users.bus_changed)
    status.watchers += [users.store_changed, topics.store_changed, line.store_changed]
    tree.spawn(
        f"{name}/cluster",
        lambda: ClusterBridge(
            state,
            port,
            storage=storage,
            users=users,
            topics=topics,
            dispatch=announcer.dispatch,
        ),
    )
    tree.spawn(f"{name}/users", lambda: UsersKeeper(company, lambda: 0.0, grace=1.0))
    tree.spawn(f"{name}/topics", lambda: TopicsWorker(topics, storage, world))
    tree.spawn(
        f"{name}/spooler",
        lambda: Spooler(
            line,
            spool,
            storage,
            status,
            world,
            name,
            neighbours=state,
            time_known=lambda changed, command: None,
        ),
    )
    tree.spawn(
        f"{name}/notifications", lambda: DirectoryKeeper(notifications, lambda: 0.0, grace=1.0)
    )
    return Node(
        *(name, tree, store, storage, users, topics, state, port, bus),
        *(notifications, spool, line),
    )
