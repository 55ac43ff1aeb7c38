"""Every sslmode against a Postgres that speaks TLS by a certificate of an authority of its own."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from servers.authority import certify
from servers.postgres import Postgres
from tests.persistence.postgres_kit import session
from tocsin.actors.world import real_world
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.settings import Settings
from tocsin.stores import make_store

IS_TLS = (
    "SELECT s.ssl FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid) "
    "WHERE a.application_name = 'tocsin'"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certified")
    return certify(directory / "ours"), certify(directory / "anothers")


@pytest.fixture(scope="module")
def server(files):
    server = Postgres()
    server.certify(files[0])
    server.start()
    yield server
    server.close()


def store_at(url: str, query: str) -> Any:
    return make_store(Settings(database=f"{url}?{query}"), real_world())


@pytest.mark.parametrize(
    ("query", "is_tls"),
    [
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=prefer", True),
        ("sslmode=require", True),
        ("sslmode=require&sslrootcert={ca}", True),
        ("sslmode=verify-ca&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={ca}&channel_binding=prefer", True),
    ],
)
async def test_an_sslmode_is_what_it_says(server, files, query, is_tls):
    url = server.create_database()
    async with open_asyncio_loop():
        store = store_at(url, query.format(ca=files[0].authority))
        await store.open()
        async with session(url) as run:
            assert [row[0] for row in await run(IS_TLS)] == [is_tls]
        [connection] = store._pool._idle
        found = connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        await store.aclose()


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&sslrootcert={other}",
        "sslmode=verify-ca&sslrootcert={other}",
        "sslmode=verify-full&sslrootcert={other}",
        "sslrootcert=system",
    ],
)
async def test_a_server_of_another_authority_is_not_talked_to(server, files, query):
    async with open_asyncio_loop():
        store = store_at(server.create_database(), query.format(other=files[1].authority))
        with pytest.raises((StoreUnavailable, StoreFailed), match="certificate"):
            await store.open()
        await store.aclose()


async def test_a_server_without_tls_is_not_talked_to_where_it_is_required(postgres_url):
    async with open_asyncio_loop():
        store = store_at(postgres_url, "sslmode=require")
        with pytest.raises((StoreUnavailable, StoreFailed), match="SSL"):
            await store.open()
        await store.aclose()
