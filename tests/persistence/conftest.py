"""Fixtures: a database of each kind, a store on it, and a desk from which to use the store; and
what joins nodes, of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.persistence.databases import AnyStore, Database, PostgresDatabase, SqliteFile
from tests.persistence.desk import Desk
from tests.persistence.services import MemoryService, RedisService, Service


@pytest.fixture(params=["sqlite", "inline", "postgres"])
def database(request, tmp_path) -> Database:
    if request.param == "postgres":
        return PostgresDatabase(request.getfixturevalue("postgres_url"))
    return SqliteFile(tmp_path / "tocsin.db", inline=request.param == "inline")


@pytest.fixture
async def store(database) -> AsyncIterator[AnyStore]:
    async with database.running():
        store = database.store()
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
