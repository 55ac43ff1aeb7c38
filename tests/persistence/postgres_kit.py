"""Connections of others to a Postgres server, which lock, end and interrupt those of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import trio
from trio_asyncio import aio_as_trio, trio_as_aio

from tests.persistence.desk_kit import Desk
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.scripts.statements import Statement
from tocsin.persistence.store import StoreUnavailable

OURS = "datname = current_database() AND application_name = 'tocsin'"


async def opened(url: str, **options: Any) -> Desk:
    store = PostgresStore(url, **options)
    await store.open()
    return Desk(store)


async def expect_unavailable(call, *args: object) -> None:
    with pytest.raises(StoreUnavailable):
        await call(*args)


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """A connection beside those of the store, as a function that runs a statement."""
    connection = await aio_as_trio(asyncpg.connect)(url)
    try:
        yield aio_as_trio(connection.fetch)
    finally:
        connection.terminate()


@asynccontextmanager
async def ann_locked(url: str) -> AsyncIterator[None]:
    """The log of `ann` is locked meanwhile, and cannot be changed."""
    async with session(url) as run:
        await run("BEGIN")
        await run("SELECT 1 FROM users WHERE user_id = 'ann' FOR UPDATE")
        yield


async def wait_until_waiting(url: str) -> None:
    """Return when a statement of the store waits for a lock."""
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
    async with session(url) as run:
        with trio.fail_after(10):
            while not await run(waiting):
                pass


async def end_backends(url: str, condition: str = "true") -> None:
    """End the store's connections, those for which *condition* holds, from the server's side."""
    async with session(url) as run:
        ended = await run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS} AND {condition}"
        )
        assert ended


def before_statement(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, name: str, work: Callable[[], Awaitable[Any]]
) -> None:
    """Let something happen just before *desk*'s store runs the statement *name*."""
    perform = PostgresStore._perform
    assert isinstance(desk.store, PostgresStore)

    async def after_work(store: PostgresStore, connection: Any, statement: Statement) -> Any:
        if store is desk.store and statement.name == name:
            await trio_as_aio(work)()
        return await perform(store, connection, statement)

    monkeypatch.setattr(PostgresStore, "_perform", after_work)
    # *work* waits for more than the connection, so asyncio has to drive the transaction.
    monkeypatch.setattr(desk.store._pool, "take_at_once", lambda: None)
