"""The databases that the store's contract is tried on, as one kind of thing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from trio_asyncio import aio_as_trio

from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.scripts.limits import LIMITS, ScriptLimits
from tocsin.persistence.sqlite.store import MEMORY, SqliteStore

AnyStore = SqliteStore | PostgresStore


class Database(Protocol):
    """Where stores live, and a back door for what the port does not offer."""

    def store(self, *, limits: ScriptLimits = LIMITS, footprints: bool = False) -> AnyStore:
        """Another store on this same database, not yet open."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """The context that every store needs while it is used."""

    async def execute(self, sql: str) -> None: ...

    async def fetch(self, sql: str) -> list[Any]: ...


class SqliteFile:
    def __init__(self, path: Path, *, inline: bool) -> None:
        self.path = path
        self.inline = inline

    def store(self, *, limits: ScriptLimits = LIMITS, footprints: bool = False) -> SqliteStore:
        return SqliteStore(self.path, inline=self.inline, limits=limits, footprints=footprints)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def execute(self, sql: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute(sql)
        connection.commit()
        connection.close()

    async def fetch(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(self.path)
        rows = connection.execute(sql).fetchall()
        connection.close()
        return rows


class SqliteMemory(SqliteFile):
    """Each store a database of its own."""

    def __init__(self) -> None:
        super().__init__(Path(MEMORY), inline=True)


class PostgresDatabase:
    def __init__(self, url: str) -> None:
        self.url = url

    def store(self, **options: Any) -> PostgresStore:
        return PostgresStore(self.url, **options)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with open_asyncio_loop():
            yield

    async def execute(self, sql: str) -> None:
        await self.fetch(sql)

    async def fetch(self, sql: str) -> list[Any]:
        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return await connection.fetch(sql)
            finally:
                await connection.close()

        rows: list[Any] = await aio_as_trio(work)()
        return rows
