"""Nodes that escalate, on one store in memory and in virtual time, with a carrier that is told what
to answer."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from tests.persistence.desk_kit import START_OF_TIME, Desk, publish
from tocsin.actors.escalation.channel_worker import ChannelWorker
from tocsin.actors.escalation.configured import ChannelLine, ChannelTerms, ConfiguredChannels
from tocsin.actors.escalation.escalator import Escalator, PlanKnown, StoreReturned
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import RestartPolicy
from tocsin.actors.runtime.supervisor import Supervisor, open_supervisor
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.actors.world import World
from tocsin.persistence.sqlite.store import MEMORY, SqliteStore
from tocsin.persistence.store.commands import Changed, Publish
from tocsin.persistence.store.escalation_commands import SendLine, SetAddress
from tocsin.persistence.store.queries import ListSends
from tocsin.protocol.channels.carrying import Accepted, Carried, Parcel
from tocsin.protocol.channels.escalation import EscalationPlan, EscalationStep
from tocsin.protocol.log.ledger import DeliveryRecord

ALWAYS = RestartPolicy(limit=1000)
AT_ONCE = (EscalationStep(after=0, channel="email"),)
_numbers = itertools.count(1)


def now_ms() -> int:
    return START_OF_TIME + round(trio.current_time() * 1000)


WORLD = World(now_ms, lambda: 0.5, bytes)


@dataclass
class ScriptedCarrier:
    """Answers with what *script* makes of a parcel, and notes all parcels with their times."""

    script: Callable[[Parcel], Any] = lambda parcel: Accepted()
    carried: list[tuple[float, Parcel]] = field(default_factory=list)
    under_way: int = 0
    under_way_max: int = 0

    async def carry(self, parcel: Parcel) -> Carried:
        self.carried.append((trio.current_time(), parcel))
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            answer = self.script(parcel)
            if isinstance(answer, float):
                await trio.sleep(answer)  # waits for: a carrier that takes this long
                return Accepted()
            if isinstance(answer, Exception):
                raise answer
            carried: Carried = answer
            return carried
        finally:
            self.under_way -= 1

    @property
    def users(self) -> list[str]:
        return [parcel.user for _, parcel in self.carried]


@dataclass
class EscalatingNode:
    """A node: its storage actor, escalator and channel."""

    line: ChannelLine
    ledger: Ledger
    storage: Ref[Any]
    escalator: Ref[Any]
    supervisor: Supervisor
    scope: trio.CancelScope

    def acknowledge(self, user: str, notification: str) -> None:
        """A device of *user* has acknowledged; the line lingers in the buffer."""
        line = DeliveryRecord(user, "phone", notification, 1, 1, now_ms(), now_ms())
        assert self.ledger.note((line,), None, trio.current_time())

    def look(self) -> None:
        """Have the node look for what is due."""
        self.escalator.tell(PlanKnown(now_ms()))

    def kill(self) -> None:
        """Crash the node."""
        self.scope.cancel()


@dataclass
class Scene:
    """One store, and the nodes on it."""

    store: SqliteStore
    desk: Desk
    nursery: trio.Nursery

    async def node(
        self, carrier: ScriptedCarrier, *, concurrency: int = 4, ahead: float = 0.0
    ) -> EscalatingNode:
        """Start a node whose wall clock is *ahead* of the store's by so many seconds."""
        node: EscalatingNode = await self.nursery.start(self._run, carrier, concurrency, ahead)
        return node

    async def _run(
        self,
        carrier: ScriptedCarrier,
        concurrency: int,
        ahead: float,
        task_status: trio.TaskStatus[EscalatingNode] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        terms = ChannelTerms("email", "email", concurrency, carrier, str)
        channels = ConfiguredChannels([terms])
        line = channels.lines["email"]
        ledger = Ledger(0.05)
        name = f"node-{next(_numbers)}"
        with trio.CancelScope() as scope:
            async with open_supervisor(name, lambda: 0.0) as supervisor:
                storage = supervisor.spawn(
                    "storage",
                    lambda: StorageActor(_Shared(self.store), StoreStatus(), WORLD, ledger),
                    capacity=10_000,
                    policy=ALWAYS,
                )
                await trio.sleep(0.01)  # waits for: the storage actor's first look at the store
                wall = replace(WORLD, now_ms=lambda: now_ms() + round(ahead * 1000))
                clock = StoreClock(storage, wall)
                escalator = supervisor.spawn(
                    "escalator", lambda: Escalator(channels, storage, clock), policy=ALWAYS
                )
                escalator.tell(StoreReturned())
                supervisor.spawn(
                    "channel", lambda: ChannelWorker(line, name, storage, clock), policy=ALWAYS
                )
                node = EscalatingNode(line, ledger, storage, escalator, supervisor, scope)
                task_status.started(node)
                await trio.sleep_forever()

    async def post(self, *users: str, plan: EscalationPlan = AT_ONCE) -> str:
        """Post to *users*, each of whom has an address."""
        for user in users:
            value = f"{user}@example.org"
            await self.desk.write(SetAddress(user, "email", "main", value, value, now_ms(), 16))
        made = publish(*users, now_ms=now_ms())
        command = Publish(made.content, made.users, "shop", escalation=plan)
        changed = await self.desk.one(command, Changed)
        return changed.content.id

    async def sends(self, notification: str) -> list[SendLine]:
        [page] = await self.desk.read(ListSends(notification, 1000))
        return list(page.sends)

    async def states(self, notification: str) -> list[str]:
        return [each.state for each in await self.sends(notification)]


class _Shared:
    """The store of all nodes: one that ends does not close it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_scene() -> AsyncIterator[Scene]:
    """A scene; its nodes are crashed at the end."""
    store = SqliteStore(MEMORY, inline=True, clock=now_ms)
    await store.open()
    async with trio.open_nursery() as nursery:
        yield Scene(store, Desk(store), nursery)
        nursery.cancel_scope.cancel()
    await store.aclose()
