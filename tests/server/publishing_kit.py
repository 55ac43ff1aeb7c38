"""A publishing over a real store, without a node around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import trio

from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.health import StoreStatus
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.storage.actor import StorageActor
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.world import real_world
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

NOT_ASKED = (
    *("users", "connections", "attendance", "authenticator", "credential_watch"),
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
            settings=cast(Any, SimpleNamespace(store_timeout=10.0, body_bytes_max=1 << 20)),
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
