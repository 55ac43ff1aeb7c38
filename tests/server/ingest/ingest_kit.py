"""A connector over a queue in memory and a real store."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import trio

from tests.server.publishing_kit import open_publishing
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.persistence.brokers.memory import MemoryQueue
from tocsin.persistence.store.ingest_commands import (
    IngestLetter,
    ListIngest,
)
from tocsin.persistence.store.queries import FindNotification, InboxPage, ProducerView
from tocsin.server.connector_status import ConnectorStatus, ConnectorTerms
from tocsin.server.ingest.connector import ConnectorActor
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

WAIT = 30.0
"""Seconds after which a test gives up on what should come at once."""


@dataclass
class Desk:
    """A connector that takes from *queue*, and the store that it posts to."""

    queue: MemoryQueue
    connector: ConnectorStatus
    services: Services
    publishing: Publishing

    def post(self, title: str, *, to: str = "ada", **more: Any) -> None:
        headers = more.pop("headers", None)
        options = {name: more.pop(name) for name in ("at", "keyed") if name in more}
        body = {"to": {"users": [to]}, "title": title} | more
        self.queue.put(json.dumps(body).encode(), headers, **options)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run the connector in the block, and stop it in order at its end."""
        random = Random(1).random
        async with open_supervisor("", random) as tree:
            tree.spawn(
                "connector",
                lambda: ConnectorActor(self.connector, self.services, self.publishing, random),
            )
            yield
            await tree.stop(5.0)

    async def emptied(self) -> None:
        """Wait until nothing of the queue is left."""
        await until(lambda: not len(self.queue))

    async def titles(self, user: str = "ada") -> list[str]:
        """The titles in the user's inbox, the oldest first."""
        page = await self.services.read(inbox_of(user))
        return [json.loads(each.document)["title"] for each in reversed(page.items)]

    async def ids(self, user: str = "ada") -> list[str]:
        """The ids in the user's inbox, the oldest first."""
        page = await self.services.read(inbox_of(user))
        return [json.loads(each.document)["id"] for each in reversed(page.items)]

    async def view(self, id_: str) -> ProducerView:
        """The notification *id_* as its producer sees it."""
        view = await self.services.read(FindNotification(id_))
        assert isinstance(view, ProducerView)
        return view

    async def letters(self) -> list[IngestLetter]:
        return list((await self.services.read(ListIngest(limit=100))).letters)

    async def problems(self) -> list[str]:
        """The codes of the letters, the oldest first."""
        return [json.loads(each.problem)["code"] for each in reversed(await self.letters())]


def inbox_of(user: str) -> InboxPage:
    return InboxPage(
        user, ("unseen",), None, limit=1000, before=None, now_ms=time.time_ns() // 1_000_000
    )


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(WAIT):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.005)  # waits for: a condition that sends no signal


@asynccontextmanager
async def open_desk(
    directory: Path, *, running: bool = True, queue: MemoryQueue | None = None, **terms: Any
) -> AsyncIterator[Desk]:
    """A desk in *directory*; its connector has *terms*, and is *running*."""
    # Not `or`: an empty queue is false.
    queue = MemoryQueue() if queue is None else queue
    known = ConnectorTerms(name="orders", kind="memory", connect=queue.connect, **terms)
    async with open_publishing(directory, capacity=1000) as (publishing, services):
        desk = Desk(queue, ConnectorStatus(known), services, publishing)
        if not running:
            yield desk
            return
        async with desk.run():
            yield desk
