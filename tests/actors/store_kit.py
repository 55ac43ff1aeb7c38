"""A store that does what a test tells it to: slow, away, refusing, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import RestartPolicy
from tocsin.actors.runtime.supervisor import Supervisor, open_supervisor
from tocsin.actors.storage.actor import PENDING_MAX, StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.queries import FindKey, ReadDeliveries
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor


class FakeStore:
    """Takes *latency* seconds for everything; keeps what was committed, by transaction."""

    epoch = "the-epoch"
    secret = "the-secret"
    statements_run = 0

    def __init__(self, latency: float = 0.003) -> None:
        self.latency = latency
        self.away = False
        self.writes_fail = False
        self.loses = False
        self.hangs = False
        self.refuses: Callable[[Any], bool] = lambda command: False
        self.blocks: Callable[[Any], bool] = lambda command: False
        self.patience, self.hurry = 2.0, 0.1
        self.crashes = False
        self.transactions: list[list[Command[Any]]] = []
        self.times: list[float] = []
        self.reads: list[list[Query[Any]]] = []
        self.attempts = 0
        self.opened: list[float] = []
        self.closed = 0
        self.probed: list[float] = []
        self._busy = False

    async def open(self) -> None:
        self.opened.append(trio.current_time())
        await self._work()

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        assert commands, "an empty transaction is a waste"
        assert not self._busy, "one transaction at a time"
        self._busy = True
        self.attempts += 1
        try:
            await self._work()
            if self.writes_fail:
                raise StoreUnavailable("disk full")
            if any(map(self.blocks, self._things(commands))):
                await pass_time(self.hurry if hurried else self.patience)
                raise StoreBlocked("a lock")
            if any(map(self.refuses, self._things(commands))):
                raise StoreFailed("poison")
        finally:
            self._busy = False
        self.transactions.append(list(commands))
        self.times.append(trio.current_time())
        if self.loses:
            raise StoreUnavailable("the connection broke after the commit")
        return [Done() for _ in commands]

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        assert queries, "an empty question is a waste"
        await self._work()
        if any(map(self.refuses, queries)):
            raise StoreFailed("poison")
        self.reads.append(list(queries))
        return [NotFound() for _ in queries]

    async def probe(self) -> None:
        self.probed.append(trio.current_time())
        await self._work()

    async def aclose(self) -> None:
        self.closed += 1

    async def _work(self) -> None:
        if self.hangs:
            await trio.sleep_forever()
        await pass_time(self.latency)
        if self.crashes:
            raise ZeroDivisionError
        if self.away:
            raise StoreUnavailable("away")

    @staticmethod
    def _things(commands: Sequence[Command[Any]]) -> Iterator[Any]:
        for command in commands:
            if isinstance(command, Record):
                yield from command.deliveries
                yield from command.cursors
            else:
                yield command

    # --- Questions of tests -----------------------------------------------------------------------

    @property
    def commands(self) -> list[Command[Any]]:
        """The committed commands without the ledger, in order."""
        return [
            command
            for transaction in self.transactions
            for command in transaction
            if not isinstance(command, Record)
        ]

    @property
    def records(self) -> list[Record]:
        return [
            command
            for transaction in self.transactions
            for command in transaction
            if isinstance(command, Record)
        ]

    @property
    def lines(self) -> list[DeliveryRecord]:
        return [line for record in self.records for line in record.deliveries]

    @property
    def cursors(self) -> list[DeviceCursor]:
        return [cursor for record in self.records for cursor in record.cursors]


@dataclass
class Stage:
    """A storage actor with a fake store, and what its watchers were told."""

    store: FakeStore
    supervisor: Supervisor
    ref: Ref[StorageMessage]
    status: StoreStatus
    ledger: Ledger
    told: list[bool] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """Announcements and answers, in the order in which they came."""

    def note(self, *lines: DeliveryRecord, cursor: DeviceCursor | None = None) -> None:
        """Tell the ledger."""
        assert self.ledger.note(lines, cursor, trio.current_time())

    async def write(self, name: str) -> Result:
        return await self.ref.ask(Write(command=RevokeKey(name, 0)))

    async def read(self, name: str) -> Any:
        return await self.ref.ask(Read(query=FindKey(name)))

    async def read_deliveries(self, notification: str = "n") -> Any:
        return await self.ref.ask(Read(query=ReadDeliveries(notification, 10, None)))


def sent(
    notification: str = "n", sequence: int = 1, attempts: int = 1, device: str = "phone"
) -> DeliveryRecord:
    return DeliveryRecord("ada", device, notification, sequence, attempts, 1000)


def acknowledged(
    notification: str = "n", sequence: int = 1, at: int = 2000, device: str = "phone"
) -> DeliveryRecord:
    return DeliveryRecord("ada", device, notification, sequence, 1, 1000, at)


def dead(notification: str = "n", sequence: int = 1) -> DeliveryRecord:
    return DeliveryRecord("ada", "phone", notification, sequence, 20, 1000, None, "gave up")


@asynccontextmanager
async def staged(
    store: FakeStore | None = None,
    *,
    linger: float = 0.05,
    capacity: int = 10_000,
    wait: bool = True,
    grace: float = 10.0,
    pending_max: int = PENDING_MAX,
    **limits: int,
) -> AsyncIterator[Stage]:
    """A running storage actor; it is stopped in order at the end of the block.

    *limits* are those of its ledger.
    """
    store = store or FakeStore()
    status = StoreStatus()
    heard: list[str] = []
    ledger = Ledger(linger, **limits)
    world = World(lambda: 0, lambda: 0.5, bytes)
    async with open_supervisor("", lambda: 0.0) as supervisor:
        ref = supervisor.spawn(
            "storage",
            lambda: StorageActor(
                store,
                status,
                world,
                ledger,
                announce=lambda result: heard.append(f"announced {type(result).__name__}"),
                pending_max=pending_max,
            ),
            capacity=capacity,
            policy=RestartPolicy(limit=100),
        )
        stage = Stage(store, supervisor, ref, status, ledger, heard=heard)
        status.watchers.append(stage.told.append)
        if wait:
            await pass_time(2 * store.latency + 0.0001)
        yield stage
        await supervisor.stop(grace)


def names_written(store: FakeStore) -> list[str]:
    """The names in the `RevokeKey` commands that *store* was given, in order."""
    return [command.id for command in store.commands if isinstance(command, RevokeKey)]


class Crowd:
    """Requests that are asked at once, and the answer to each."""

    def __init__(self, nursery, stage):
        self._nursery = nursery
        self._stage = stage
        self.answers = {}

    async def writes(self, *names):
        for name in names:
            await self._start(name, Write(command=RevokeKey(name, 0)))

    async def reads(self, *names):
        for name in names:
            await self._start(name, Read(query=FindKey(name)))

    async def _start(self, name, request):
        self._nursery.start_soon(self._ask, name, request)
        await settle()

    async def _ask(self, name, request):
        try:
            answer = await self._stage.ref.ask(request)
        except (StoreUnavailable, StoreFailed, ActorError) as error:
            answer = error
        self.answers[name] = answer

    def kinds(self):
        return {name: type(answer) for name, answer in self.answers.items()}
