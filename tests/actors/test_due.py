"""Expiries that fell due while the store was away come before any client is told anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import TroubledStore
from tests.persistence import desk_kit
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.catching_up import EXPIRING_MAX
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Expired
from tocsin.persistence.store.user_commands import Attach, Attached

LIFETIME = 1000


class Stage:
    """A storage actor over a real store, and what was announced."""

    def __init__(self, store: TroubledStore, expiring_max: float = EXPIRING_MAX) -> None:
        self.store = store
        self.expiring_max = expiring_max
        self.status = StoreStatus()
        self.announced: list[Result] = []
        self.ref: Ref[StorageMessage]
        self.status.watchers.append(self._greet)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with open_supervisor("", lambda: 0.0) as tree:
            self.ref = tree.spawn(
                "storage",
                lambda: StorageActor(
                    self.store,
                    self.status,
                    World(now_ms, lambda: 0.0, bytes),
                    Ledger(0.05),
                    announce=self.announced.append,
                    first=lambda now_ms: Expire(now_ms, 2),
                    expiring_max=self.expiring_max,
                ),
            )
            yield
            await tree.stop(5)

    def _greet(self, available: bool) -> None:
        """A device comes in the moment in which the store is there."""
        if available:
            self.ref.tell(Write(command=Attach("ann", "phone", None, now_ms(), "a/1")))

    async def attach(self) -> Attached:
        attached = await self.ref.ask(Write(command=Attach("ann", "tablet", None, now_ms(), "a/2")))
        assert isinstance(attached, Attached)
        return attached

    @property
    def expired(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(each.count, each.users) for each in self.announced if isinstance(each, Expired)]

    @property
    def welcomed(self) -> list[int]:
        return [each.counters.unread for each in self.announced if isinstance(each, Attached)]


def now_ms() -> int:
    return desk_kit.START_OF_TIME + int(trio.current_time() * 1000)


async def publish(store: TroubledStore, count: int, lifetime: int = LIFETIME) -> None:
    at = now_ms()
    await store.write(
        [desk_kit.publish("ann", now_ms=at, expires_at=at + lifetime) for _ in range(count)]
    )


@pytest.fixture
async def store() -> TroubledStore:
    store = TroubledStore()
    await store.open()
    return store


async def test_at_the_start(autojump_clock, store: TroubledStore):
    await publish(store, 5)
    await publish(store, 1, lifetime=60_000)
    await pass_time(LIFETIME / 1000)
    stage = Stage(store)
    async with stage.running():
        await pass_time(0.1)
        assert stage.welcomed == [1]
        assert stage.expired == [(2, ("ann",)), (2, ("ann",)), (1, ("ann",))]


async def test_after_an_outage(autojump_clock, store: TroubledStore):
    stage = Stage(store)
    async with stage.running():
        await pass_time(0.1)
        await publish(store, 1)
        store.away = True
        with pytest.raises(StoreUnavailable):
            await stage.attach()
        await pass_time(LIFETIME / 1000 + 1)
        stage.announced.clear()
        store.away = False
        await pass_time(5)
        assert stage.welcomed == [0]
        assert stage.expired == [(1, ("ann",))]


async def test_very_much_does_not_keep_everybody_waiting_for_long(
    autojump_clock, store: TroubledStore
):
    await publish(store, 40)
    await pass_time(LIFETIME / 1000)
    store.latency = 0.01
    stage = Stage(store, expiring_max=0.03)
    async with stage.running():
        await pass_time(0.1)
        assert stage.status.available
        assert stage.expired == [(2, ("ann",))] * 3
