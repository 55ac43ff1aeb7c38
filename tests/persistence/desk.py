"""The store in the words of its users: commands with the parts that a test does not care about.

Time is a number of milliseconds that stands still unless a test moves it.
"""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

from msgspec import UNSET

from tests.persistence.databases import AnyStore
from tocsin.persistence.store import (
    Attach,
    Attached,
    Changed,
    Command,
    Deliveries,
    Delivery,
    DeliveryRecord,
    DeviceCursor,
    Entry,
    Expire,
    Expired,
    FindNotification,
    Idempotency,
    Inbox,
    InboxPage,
    Page,
    ProducerView,
    Publish,
    Query,
    ReadDeliveries,
    ReadPage,
    Record,
    Update,
    Withdraw,
)
from tocsin.protocol.cursor import Cursor, parse_cursor
from tocsin.protocol.notification import Content, Draft, Patch, Recipients, content_of
from tocsin.protocol.values import uuid7

T = TypeVar("T")

START_OF_TIME = 1_700_000_000_000
ALL_BUT_ARCHIVED = ("unseen", "seen", "read")

_counter = itertools.count(1)


def new_id(now_ms: int = START_OF_TIME) -> str:
    """A UUIDv7, different each time and the same in each run."""
    return uuid7(now_ms, next(_counter).to_bytes(10))


def content(
    title: str = "Hello",
    *,
    now_ms: int = START_OF_TIME,
    expires_at: int | None = None,
    category: str = "default",
    body: str | None = None,
) -> Content:
    ttl = None if expires_at is None else (expires_at - now_ms) / 1000
    draft = Draft(to=Recipients(["nobody"]), title=title, category=category, body=body, ttl=ttl)
    return content_of(draft, new_id(now_ms), now_ms)


def publish(
    *users: str, key: str | None = None, fingerprint: bytes = b"same", **fields: Any
) -> Publish:
    made = content(**fields)
    idempotency = None if key is None else Idempotency("producer", key, fingerprint)
    return Publish(made, users, "producer", f'{{"id":"{made.id}"}}', idempotency)


def sent(
    user: str,
    device: str,
    notification: str,
    sequence: int,
    *,
    attempts: int = 1,
    at: int = START_OF_TIME,
    acknowledged_at: int | None = None,
    dead: str | None = None,
) -> Record:
    line = DeliveryRecord(user, device, notification, sequence, attempts, at, acknowledged_at, dead)
    return Record((line,), ())


class Desk:
    def __init__(self, store: AnyStore) -> None:
        self.store = store
        self.now_ms = START_OF_TIME

    # Any: a test looks into results of the kind that it expects, and fails well if it is wrong.
    async def write(self, *commands: Command) -> list[Any]:
        results: list[Any] = list(await self.store.write(commands))
        return results

    async def read(self, *queries: Query) -> list[Any]:
        answers: list[Any] = list(await self.store.read(queries))
        return answers

    async def one(self, command: Command, kind: type[T]) -> T:
        """Run one command; its result has to be of this *kind*."""
        [result] = await self.store.write([command])
        assert isinstance(result, kind), result
        return result

    async def ask(self, query: Query, kind: type[T]) -> T:
        [answer] = await self.store.read([query])
        assert isinstance(answer, kind), answer
        return answer

    async def publish(self, *users: str, **fields: Any) -> Changed:
        return await self.one(publish(*users, now_ms=self.now_ms, **fields), Changed)

    async def update(self, notification: str, *, title: Any = UNSET, **more: Any) -> Changed:
        update = Update(notification, Patch(title=title, **more), self.now_ms)
        return await self.one(update, Changed)

    async def withdraw(self, notification: str) -> Changed:
        return await self.one(Withdraw(notification, self.now_ms), Changed)

    async def expire(self, now_ms: int, limit: int = 100) -> Expired:
        return await self.one(Expire(now_ms, limit), Expired)

    async def attach(self, user: str, device: str, cursor: int | str | None = None) -> Attached:
        """Arrive with no cursor, a sequence of the present epoch, or a cursor's text."""
        requested = None
        if isinstance(cursor, int):
            requested = Cursor(self.store.epoch, cursor)
        elif cursor is not None:
            requested = parse_cursor(cursor, self.store.epoch)
        return await self.one(Attach(user, device, requested, self.now_ms), Attached)

    async def sent(self, *args: Any, **more: Any) -> None:
        await self.write(sent(*args, **more))

    async def acknowledge(self, user: str, device: str, changed: Changed, at: int = 5) -> None:
        """The device acknowledges the change that made *changed*."""
        [sequence] = [each.sequence for each in changed.positions if each.user == user]
        record = sent(user, device, changed.content.id, sequence, acknowledged_at=at)
        cursor = DeviceCursor(user, device, sequence, at)
        await self.write(Record(record.deliveries, (cursor,)))

    async def page(
        self,
        user: str,
        device: str = "phone",
        *,
        start: int = 0,
        after: int | None = None,
        limit: int = 100,
        bytes_max: int = 1 << 20,
        began: int = 1 << 40,
        resumed: bool = False,
    ) -> Page:
        after = start if after is None else after
        query = ReadPage(user, device, start, after, limit, bytes_max, began, resumed)
        return await self.ask(query, Page)

    async def entries(self, user: str, device: str = "phone", **more: Any) -> tuple[Entry, ...]:
        return (await self.page(user, device, **more)).entries

    async def inbox(
        self,
        user: str,
        *,
        states: tuple[str, ...] = ALL_BUT_ARCHIVED,
        category: str | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> Inbox:
        return await self.ask(InboxPage(user, states, category, limit, before), Inbox)

    async def view(self, notification: str) -> ProducerView:
        return await self.ask(FindNotification(notification), ProducerView)

    async def ledger(self, notification: str) -> dict[tuple[str, str], Delivery]:
        lines = (await self.ask(ReadDeliveries(notification, 100, None), Deliveries)).lines
        return {(line.user, line.device): line for line in lines}
