"""A user's actor and what is around it; the store is played by the test."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Never

import trio

from tests.actors.clock_kit import settle
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import Arrived, LogChanged, SharedChange, UserMessage
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.outlet import Transport
from tocsin.actors.delivery.surroundings import Company, DeliverySettings
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.actors.storage.ledger import LINES_MAX, Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.queries import Entry, Page, ReadPage
from tocsin.persistence.store.user_commands import Attach, Attached
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.delivery.terms import Acknowledging, SessionLimits
from tocsin.protocol.log.cursor import Start
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.news import Position

LIMITS = SessionLimits(2, 1000, Backoff(10.0, 60.0), 3, 5)


class PlayedStorage(Actor[StorageMessage]):
    """Keeps what it is asked, for the test to answer."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self.asked: list[Any] = []
        self.ledger = Ledger(linger=0.05, lines_max=lines_max)

    async def receive(self, message: StorageMessage) -> None:
        self.asked.append(message)

    @property
    def lines(self) -> list[DeliveryRecord]:
        """The lines noted in the ledger since the last look."""
        return [line for record in self.ledger.waiting.take(math.inf) for line in record.deliveries]

    @property
    def ended(self) -> list[str]:
        """The devices of whom a session was noted to have ended since the last look."""
        records = self.ledger.waiting.take(math.inf)
        return [end.device for record in records for end in record.ends]

    @property
    def confirmed(self) -> list[int]:
        """The sequences that were noted as acknowledged since the last look."""
        return [line.sequence for line in self.lines if line.acknowledged_at is not None]

    async def answer_attach(self, start: int = 0, **fields: Any) -> Attach:
        write = self.asked.pop(0)
        fields = {"head": start, "counters": Counters(0, 0), **fields}
        write.reply.set(Attached("ann", Start(start, None, resumed=True), **fields))
        await settle()
        command: Attach = write.command
        return command

    async def answer_page(
        self, *sequences: int, head: int | None = None, horizon: int = 0
    ) -> ReadPage:
        read = self.asked.pop(0)
        through = max(sequences, default=read.query.after)
        entries = tuple(map(an_entry, sequences))
        head = head or through
        read.reply.set(Page(entries, through, head, horizon, Counters(1, 1)))
        await settle()
        query: ReadPage = read.query
        return query

    async def answer_page_of(self, entry: Entry) -> None:
        read = self.asked.pop(0)
        page = Page((entry,), entry.sequence, entry.sequence, 0, Counters(1, 1))
        read.reply.set(page)
        await settle()


def an_entry(sequence: int) -> Entry:
    return Entry(sequence, f"n{sequence}", "created", "{}", "unseen", None, None, 0, None)


def a_change(sequence: int) -> LogChanged:
    shared = SharedChange(f"n{sequence}", "created", "{}", b"{}", None)
    return LogChanged(shared, Position("ann", sequence, 1, 1))


@dataclass
class House:
    """Ann's actor and its surroundings; *heard* is what it told of her."""

    users: Users
    storage: PlayedStorage
    keeper: Ref[Never] = field(init=False)
    heard: list[tuple[str, ...]] = field(default_factory=list)
    wall_ms: int = 1_000_000
    """The time of the wall's clock, which a test may set."""
    timing: Timing = field(default_factory=Timing)
    status: StoreStatus = field(default_factory=lambda: StoreStatus(available=True, epoch="e"))

    async def arrive(
        self,
        device: str = "phone",
        acknowledging: Acknowledging = Acknowledging.EXPLICIT,
        expires_at: int | None = None,
        transport: Transport = "websocket",
    ) -> FakeOutlet:
        outlet = FakeOutlet(f"of {device}")
        outlet.transport = transport
        outlet.last_heard = trio.current_time()
        self.users.arrive("ann", Arrived(outlet, device, None, 2, expires_at, acknowledging))
        await settle()
        return outlet

    async def tell(self, message: UserMessage) -> None:
        self.users.tell("ann", message)
        await settle()


@asynccontextmanager
async def a_house(
    *, lines_max: int = LINES_MAX, neighbours: Neighbours = ALONE
) -> AsyncIterator[House]:
    """*lines_max* lines fit into the ledger."""
    world = World(lambda: house.wall_ms, lambda: 0.5, bytes)
    users, storage = Users(Attendance("node", world), capacity=100), PlayedStorage(lines_max)
    house = House(users, storage)

    async with open_supervisor("", lambda: 0.0) as tree:
        ref: Ref[StorageMessage] = tree.spawn("storage", lambda: storage)
        company = Company(
            users=users,
            storage=ref,
            ledger=storage.ledger,
            status=house.status,
            settings=DeliverySettings("node", LIMITS, 25.0, 10, 20),
            world=world,
            acknowledged=lambda notification: None,
            absent=lambda user: house.heard.append(("absent", user)),
            behind=lambda user: house.heard.append(("behind", user)),
            timing=house.timing,
            neighbours=neighbours,
        )
        house.keeper = tree.spawn("users", lambda: UsersKeeper(company, lambda: 0.0, grace=1.0))
        await settle()
        yield house
        await tree.stop(5)
