"""Publishing batches against a real store whose actor has little room."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import StoreStatus
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.runtime import Ref, Reply, open_supervisor
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.spool.entries import Committal
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.world import real_world
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import Changed, FindHead, Head
from tocsin.protocol.notification import Draft, Recipients
from tocsin.protocol.refusal import Refused
from tocsin.server.auth.principal import Principal
from tocsin.server.producing.batch import BatchItem, Item, publish_all
from tocsin.server.producing.publishing import Published, Publishing
from tocsin.server.services import Services

SHOP = Principal(user=None, scopes=frozenset({"notify"}), credential="key:shop", expires_at=None)


NOT_ASKED = (
    *("users", "connections", "attendance", "authenticator", "key_watch"),
    *("readiness", "snapshot"),
)


@asynccontextmanager
async def open_publishing(
    directory: Path, capacity: int
) -> AsyncIterator[tuple[Publishing, Services]]:
    """A publishing over a store in *directory*, for whose actor *capacity* messages may wait."""
    random = Random(1).random
    world = real_world()
    status = StoreStatus()
    store = SqliteStore(directory / "tocsin.db", entropy=world.entropy)
    async with open_supervisor("", random) as tree:
        storage = tree.spawn(
            "storage",
            lambda: StorageActor(store, status, world, Ledger(0.01)),
            capacity=capacity,
        )
        notifications = Notifications(storage=storage, scheduler=Ref("scheduler", Mailbox(1)))
        tree.spawn("notifications", lambda: DirectoryKeeper(notifications, random, grace=1.0))
        services = Services(
            settings=cast(Any, SimpleNamespace(store_timeout=10.0)),
            world=world,
            storage=storage,
            status=status,
            notifications=notifications,
            **cast(Any, dict.fromkeys(NOT_ASKED)),
        )
        with trio.fail_after(120):
            while not status.available:  # noqa: ASYNC110
                await trio.sleep(0.005)  # waits for: the store to be open, which nobody signals
            yield Publishing(services), services
        for name in ("notifications", "storage"):
            await tree.stop_child(name, 5.0)


def item(title: str) -> BatchItem:
    return BatchItem(to=Recipients(users=["ada"]), title=title)


async def test_a_store_without_room_makes_the_batch_wait_and_fails_no_item(tmp_path: Path):
    async with open_publishing(tmp_path, capacity=32) as (publishing, services):
        outcomes = await publish_all(publishing, SHOP, [item(str(n)) for n in range(700)], None)
        assert all(isinstance(each, Published) for each in outcomes)
        assert len(outcomes) == 700
        head = await services.read(FindHead("ada"))
        assert isinstance(head, Head)
        assert (head.head, head.counters.unread) == (700, 700)


class Watched(Publishing):
    """Notes how many recipients are under way, at most."""

    recipients = most = 0

    def submit(
        self, principal: Principal, draft: Draft, key: str | None, reply: Reply[Committal]
    ) -> None:
        self.recipients += len(draft.to.users or ())
        self.most = max(self.most, self.recipients)
        super().submit(principal, draft, key, reply)

    async def answer(self, reply: Reply[Committal], deadline: float) -> Committal:
        committal = await super().answer(reply, deadline)
        assert isinstance(committal, Changed)
        self.recipients -= committal.recipients
        return committal


@pytest.mark.parametrize(("recipients", "most"), [(1, 256), (10, 1000), (300, 900), (1000, 1000)])
async def test_as_much_is_under_way_as_one_transaction_takes(tmp_path, recipients, most):
    async with open_publishing(tmp_path, capacity=1000) as (_, services):
        publishing = Watched(services)
        to = Recipients(users=[f"user-{number}" for number in range(recipients)])
        items: list[Item] = [BatchItem(to=to, title="Hello")] * (3000 // recipients)
        outcomes = await publish_all(publishing, SHOP, items, None)
        assert all(isinstance(each, Published) for each in outcomes)
        assert (publishing.recipients, publishing.most) == (0, most)


async def test_a_store_that_is_away_is_each_items_problem(tmp_path: Path):
    async with open_publishing(tmp_path, capacity=1000) as (publishing, services):
        services.status.available = False
        outcomes = await publish_all(publishing, SHOP, [item("x")] * 300, None)
        services.status.available = True
    codes = {each.problem.code for each in outcomes if isinstance(each, Refused)}
    assert (len(outcomes), codes) == (300, {"store_unavailable"})
