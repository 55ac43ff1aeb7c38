"""Fixtures: a database of each kind, a store on it, and a desk from which to use the store; and
what joins nodes, of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import redis
import trio

from servers.postgres import in_thread
from tests.persistence.databases_kit import AnyStore, Database, PostgresDatabase, SqliteFile
from tests.persistence.desk_kit import Desk
from tests.persistence.services_kit import MemoryService, RedisService, Service, opened
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.bus import Bus
from tocsin.persistence.postgres.hands import postgres_hands
from tocsin.persistence.scripts.limits import LIMITS, ScriptLimits
from tocsin.persistence.sqlite.hands import sqlite_hands
from tocsin.persistence.upkeep.forgetting import Hands


@pytest.fixture(scope="session")
def postgres_template(postgres) -> str:
    """The URL of a database that has its tables and nothing in them: a copy of it is there in half
    the time that the migrations take. Like an empty one, it has no epoch and no secret yet.
    """
    url: str = postgres.create_database()
    database = PostgresDatabase(url)
    in_thread(lambda: trio.run(migrate, database))
    return url


async def migrate(database: PostgresDatabase) -> None:
    async with database.running():
        store = database.store()
        await store.open()
        await store.aclose()
        await database.execute("DELETE FROM meta")


@pytest.fixture
async def loop() -> AsyncIterator[None]:
    """The event loop of asyncio, on which the driver of Postgres runs."""
    async with open_asyncio_loop():
        yield


@pytest.fixture(params=["sqlite", "inline", "postgres"])
def database(request, tmp_path) -> Database:
    if request.param == "postgres":
        template = request.getfixturevalue("postgres_template")
        return PostgresDatabase(request.getfixturevalue("postgres").create_database(template))
    return SqliteFile(tmp_path / "tocsin.db", inline=request.param == "inline")


@pytest.fixture
def limits() -> ScriptLimits:
    """The limits of the store; a test that needs others is `limited`."""
    return LIMITS


@pytest.fixture
async def store(database, limits) -> AsyncIterator[AnyStore]:
    async with database.running():
        store = database.store(limits=limits)
        await store.open()
        yield store
        await store.aclose()


@pytest.fixture
def desk(store) -> Desk:
    return Desk(store)


@pytest.fixture(params=["memory", "redis"])
async def service(request) -> AsyncIterator[Service]:
    service: Service = MemoryService()
    if request.param == "redis":
        service = RedisService(request.getfixturevalue("redis_url"))
    async with service.running():
        yield service


Work = Callable[[Hands], Coroutine[Any, Any, None]]


@pytest.fixture(params=["sqlite", "postgres"])
def on_hands(request, tmp_path):
    """Runs work on the hands of a new database of each kind."""
    if request.param == "postgres":
        template = request.getfixturevalue("postgres_template")
        url = request.getfixturevalue("postgres").create_database(template)

        async def on_postgres(work: Work) -> None:
            async with postgres_hands(url) as hands:
                await work(hands)

        return lambda work: asyncio.run(on_postgres(work))

    async def make() -> None:
        store = SqliteFile(tmp_path / "a.db", inline=True).store()
        await store.open()
        await store.aclose()

    trio.run(make)

    def on_sqlite(work: Work) -> None:
        with sqlite_hands(tmp_path / "a.db") as hands:
            asyncio.run(work(hands))

    return on_sqlite


@pytest.fixture
async def ann(service) -> AsyncIterator[Bus]:
    """The bus of one node."""
    async with opened(service.bus("node-a")) as bus:
        yield bus


@pytest.fixture
async def ben(service) -> AsyncIterator[Bus]:
    """The bus of another node."""
    async with opened(service.bus("node-b")) as bus:
        yield bus


@pytest.fixture
def intruder(redis_url) -> Iterator[redis.Redis]:
    """A program that writes into Redis what no node would."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()
