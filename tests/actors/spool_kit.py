"""Nodes with a spooler each, over one store and one spool, in virtual time.

The store is a real one, in memory, that a test can take away, or let commit unheard.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import trio
from msgspec.structs import replace

from tests.actors.clock_kit import pass_time
from tests.actors.submitting_kit import Submitting
from tests.persistence import desk_kit
from tocsin.actors.delivery.neighbours import ALONE
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import StoreStatus
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.scheduler import tell_times
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Supervisor, open_supervisor
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.world import World
from tocsin.persistence.bus import Spool
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Idempotency, Publish, Update, Withdraw
from tocsin.persistence.store.queries import FindNotification, Page, ProducerView, ReadPage
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.notifications.notification import Patch


class TroubledStore(SqliteStore):
    """Takes *latency* seconds for a transaction. `forgets`: commits, and nobody hears of it."""

    def __init__(self) -> None:
        super().__init__(":memory:", inline=True, entropy=bytes)
        self.latency = 0.003
        self.opened = False
        self.away = self.forgets = False
        self.refuses: Callable[[Command[Any]], bool] = lambda command: False
        self.on_commit: Callable[[], None] = lambda: None
        self.written: list[Command[Any]] = []

    async def open(self) -> None:
        self._check()
        if not self.opened:
            self.opened = True
            await super().open()

    async def probe(self) -> None:
        self._check()

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        await pass_time(self.latency)
        self._check()
        if any(map(self.refuses, commands)):
            raise StoreFailed("poison")
        results = await super().write(commands)
        self.written += [each for each in commands if not isinstance(each, Record)]
        self.on_commit()
        if self.forgets:
            raise StoreUnavailable("the connection broke")
        return results

    async def aclose(self) -> None:
        """Other nodes go on, and tests look in."""

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class SpoolNode(Submitting):
    """A node as far as posts go; what it answers is noted in the order of the answers."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.status = StoreStatus()
        self.told: list[Any] = []
        self._cluster = cluster
        self._tree: Supervisor
        self.notifications: Notifications
        self.line: SpoolLine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SpoolNode]:
        """Until the end of the block, which is a crash: nothing is stopped in order."""
        cluster, world = self._cluster, self._cluster.world
        scheduler: Ref[Any] = Ref("scheduler", Mailbox(100))
        with trio.CancelScope() as crash:
            async with open_supervisor("", lambda: 0.0) as tree:
                storage = tree.spawn(
                    "storage",
                    lambda: StorageActor(cluster.store, self.status, world, Ledger(0.05)),
                    capacity=5000,
                )
                spool = cluster.spool(self.name)
                self.line = SpoolLine(spool, storage, self.status)
                self.status.watchers.append(self.line.store_changed)
                tree.spawn(
                    "spooler",
                    lambda: Spooler(
                        self.line,
                        spool,
                        storage,
                        self.status,
                        world,
                        self.name,
                        neighbours=ALONE,
                        time_known=partial(tell_times, scheduler),
                    ),
                )
                self.notifications = Notifications(
                    storage=storage,
                    scheduler=scheduler,
                    commit=self.line.commit,
                )
                tree.spawn(
                    "notifications",
                    lambda: DirectoryKeeper(self.notifications, lambda: 0.0, grace=1.0),
                )
                await pass_time(0.1)
                yield self
                crash.cancel()

    async def drained(self) -> None:
        """Wait until nothing waits, and posts go to the store again."""
        with trio.fail_after(60):
            while self.line.waiting or self.line.state.waiting:
                await pass_time(0.05)


class Cluster:
    """One store and one spool for all nodes."""

    def __init__(self) -> None:
        self.store = TroubledStore()
        self.broker = MemoryBroker()
        self.spool: Callable[[str], Spool] = self.broker.spool
        self.world = World(
            lambda: desk_kit.START_OF_TIME + round(trio.current_time() * 1000),
            lambda: 0.5,
            random.Random(1).randbytes,
        )

    def node(self, name: str = "one") -> SpoolNode:
        return SpoolNode(self, name)

    async def log_of(self, user: str) -> list[str]:
        """The titles in the user's log, in order."""
        query = ReadPage(user, "phone", 0, 0, 10_000, 1 << 24, 0, False, 0)
        [page] = await self.store.read([query])
        assert isinstance(page, Page)
        return [msgspec.json.decode(each.document)["title"] for each in page.entries]

    async def standing_of(self, id_: str) -> str:
        return (await self._view(id_)).standing

    async def revision_of(self, publish: Publish) -> int:
        return (await self._view(publish.content.id)).content.revision

    async def _view(self, id_: str) -> ProducerView:
        [view] = await self.store.read([FindNotification(id_)])
        assert isinstance(view, ProducerView)
        return view


def post(
    title: str, *users: str, key: str | None = None, meaning: bytes = b"", **fields: Any
) -> Publish:
    command = desk_kit.publish(*(users or ("ada",)), title=title, **fields)
    if key is None:
        return command
    return replace(command, idempotency=Idempotency("shop", key, meaning))


def change(publish: Publish, title: str, **fields: Any) -> Update:
    return Update(publish.content.id, Patch(title=title), desk_kit.START_OF_TIME + 1, **fields)


def withdraw(publish: Publish) -> Withdraw:
    return Withdraw(publish.content.id, desk_kit.START_OF_TIME + 2)


async def lose_store(cluster: Cluster) -> None:
    cluster.store.away = True
    await pass_time(5)
