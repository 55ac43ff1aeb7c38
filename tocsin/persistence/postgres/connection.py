"""A connection to Postgres for a command: plain asyncio, without a pool and without deadlines.

There are no deadlines because work on a whole database takes the longer, the larger it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from tocsin.persistence.upkeep.tables import MIGRATIONS, TABLES

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

NODE: Final = "tocsin"
"""The `application_name` of nodes, by which the server's list of connections shows them."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect to *url* for the block. Raises `OSError` or an error of asyncpg."""
    settings = {"application_name": f"{NODE}-command", "statement_timeout": "0"}
    connection: Connection = await asyncpg.connect(url, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def nodes_connected(connection: Connection) -> int:
    """The number of connections of nodes to this database. A healthy node has at least one."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = $1"
        " AND pid <> pg_backend_pid()",
        NODE,
    )
    return count


async def tables_there(connection: Connection) -> list[str]:
    """The tables of Tocsin that exist in the search path of *connection*."""
    found = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) AS name"
        " WHERE to_regclass(quote_ident(name)) IS NOT NULL",
        [MIGRATIONS, *TABLES],
    )
    return [row[0] for row in found]


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """*url* without its password, and the environment variables of libpq with it.

    A command line must not have the password, because other users of the machine can read it.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    password = next((value for name, value in query if name == "password"), None)
    login, at, place = parts.netloc.rpartition("@")
    user, colon, written = login.partition(":")
    if colon:
        password = unquote(written)
    rest = [(name, value) for name, value in query if name != "password"]
    bare = parts._replace(netloc=f"{user}{at}{place}", query=urlencode(rest))
    return urlunsplit(bare), {} if password is None else {"PGPASSWORD": password}
