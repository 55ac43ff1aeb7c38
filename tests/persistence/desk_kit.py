"""The store in the words of its users: commands with the parts that a test does not care about.

Time is a number of milliseconds that stands still unless a test moves it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from msgspec import UNSET

from tests.persistence.databases_kit import AnyStore
from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import (
    Changed,
    FanOut,
    Idempotency,
    Publish,
    Update,
    Withdraw,
)
from tocsin.persistence.store.queries import (
    Deliveries,
    Delivery,
    Entry,
    FindNotification,
    Inbox,
    InboxPage,
    Page,
    ProducerView,
    ReadDeliveries,
    ReadPage,
)
from tocsin.persistence.store.upkeep_commands import Expire, Expired, Release, Released
from tocsin.persistence.store.user_commands import (
    Attach,
    Attached,
    Marked,
    MarkInbox,
    Materialise,
    Materialised,
    PreferencesSet,
    Record,
    SetPreferences,
    Subscribe,
    Subscribed,
    Unsubscribe,
)
from tocsin.protocol.log.cursor import Cursor, parse_cursor
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import (
    EVERYONE,
    Content,
    Draft,
    Patch,
    Recipients,
    answer_to_publish,
    content_of,
)
from tocsin.protocol.values import uuid7

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

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
    topic: str | None = None,
    priority: Any = "normal",
    collapse_key: str | None = None,
) -> Content:
    """For users unless *topic* names one; `EVERYONE` is for all."""
    to = Recipients(["nobody"]) if topic is None else Recipients(topic=topic)
    draft = Draft(
        to=Recipients(all=True) if topic == EVERYONE else to,
        title=title,
        category=category,
        body=body,
        priority=priority,
        ttl=None if expires_at is None else (expires_at - now_ms) / 1000,
        collapse_key=collapse_key,
    )
    return content_of(draft, new_id(now_ms), now_ms)


def publish(
    *users: str,
    key: str | None = None,
    fingerprint: bytes = b"same",
    deliver_at: int | None = None,
    overdue: bool = False,
    **fields: Any,
) -> Publish:
    made = content(**fields)
    idempotency = None if key is None else Idempotency("producer", key, fingerprint)
    return Publish(made, users, "producer", idempotency, deliver_at, overdue)


def answer(command: Publish) -> str:
    """The answer to the producer of a publish to users."""
    standing = "active" if command.deliver_at is None else "scheduled"
    return answer_to_publish(command.content, standing, len(command.users))


def positions(changed: Changed) -> tuple[Position, ...]:
    """The places of a change that is one fan-out."""
    [fan_out] = changed.fan_outs
    return fan_out.positions


def told(fan_outs: Iterable[FanOut]) -> list[tuple[str, str, dict[str, int]]]:
    """The news: notification, change, and each user's sequence."""
    return [
        (each.content.id, each.change, {at.user: at.sequence for at in each.positions})
        for each in fan_outs
    ]


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
    unanswered: int = 0,
) -> Record:
    line = DeliveryRecord(
        user, device, notification, sequence, attempts, at, acknowledged_at, dead, unanswered
    )
    return Record((line,), ())


def limited(**limits: int) -> Callable[[F], F]:
    """A decorator: the test's store has these *limits* of a transaction, and the usual others."""
    return pytest.mark.parametrize("limits", [ScriptLimits(**limits)], ids=["limited"])


class Desk:
    def __init__(self, store: AnyStore) -> None:
        self.store = store
        self.now_ms = START_OF_TIME

    # Any: a test looks into results of the kind that it expects, and fails well if it is wrong.
    async def write(self, *commands: Command[Any]) -> list[Any]:
        results: list[Any] = list(await self.store.write(commands))
        return results

    async def read(self, *queries: Query[Any]) -> list[Any]:
        answers: list[Any] = list(await self.store.read(queries))
        return answers

    async def one(self, command: Command[Any], kind: type[T]) -> T:
        """Run one command; its result has to be of this *kind*."""
        [result] = await self.store.write([command])
        assert isinstance(result, kind), result
        return result

    async def ask(self, query: Query[Any], kind: type[T]) -> T:
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

    async def mark(
        self,
        user: str,
        mark: str,
        *notifications: str | Changed,
        through: int | None = None,
        limit: int = 2000,
    ) -> Marked:
        """Mark *notifications*, or all, or those created up to *through*."""
        ids = tuple(each if isinstance(each, str) else each.content.id for each in notifications)
        command = MarkInbox(user, mark, self.now_ms, ids or None, through, limit)
        return await self.one(command, Marked)

    async def release(self, now_ms: int, limit: int = 100) -> Released:
        return await self.one(Release(now_ms, limit), Released)

    async def bring(self, *users: str) -> Materialised:
        """Bring *users* up to date with their topics."""
        return await self.one(Materialise(users, self.now_ms), Materialised)

    async def subscribe(self, topic: str, *users: str) -> Subscribed:
        return await self.one(Subscribe(topic, users, self.now_ms), Subscribed)

    async def unsubscribe(self, topic: str, *users: str) -> Subscribed:
        return await self.one(Unsubscribe(topic, users, self.now_ms), Subscribed)

    async def prefer(
        self, user: str, *, categories: dict[str, bool] | None = None, **topics: bool
    ) -> PreferencesSet:
        command = SetPreferences(user, categories or {}, topics, self.now_ms)
        return await self.one(command, PreferencesSet)

    async def attach(
        self, user: str, device: str, cursor: int | str | None = None, session: str = "a/1"
    ) -> Attached:
        """Arrive with no cursor, a sequence of the present epoch, or a cursor's text."""
        requested = None
        if isinstance(cursor, int):
            requested = Cursor(self.store.epoch, cursor)
        elif cursor is not None:
            requested = parse_cursor(cursor, self.store.epoch)
        return await self.one(Attach(user, device, requested, self.now_ms, session), Attached)

    async def leave(self, user: str, device: str, session: str = "a/1") -> None:
        """The end of a session is recorded."""
        await self.write(Record((), (), (SessionEnd(user, device, session),)))

    async def sent(self, *args: Any, **more: Any) -> None:
        await self.write(sent(*args, **more))

    async def acknowledge(self, user: str, device: str, changed: Changed, at: int = 5) -> None:
        """The device acknowledges the change that made *changed*."""
        [sequence] = [each.sequence for each in positions(changed) if each.user == user]
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
        counted: int = 0,
    ) -> Page:
        after = start if after is None else after
        query = ReadPage(user, device, start, after, limit, bytes_max, began, resumed, counted)
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
        bytes_max: int = 1 << 20,
    ) -> Inbox:
        query = InboxPage(user, states, category, limit, before, self.now_ms, bytes_max)
        return await self.ask(query, Inbox)

    async def view(self, notification: str) -> ProducerView:
        return await self.ask(FindNotification(notification), ProducerView)

    async def ledger(self, notification: str) -> dict[tuple[str, str], Delivery]:
        lines = (await self.ask(ReadDeliveries(notification, 100, None), Deliveries)).lines
        return {(line.user, line.device): line for line in lines}
