"""Statements on a Postgres database, for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tocsin.persistence.postgres.connection import Connection, connected, nodes_connected
from tocsin.persistence.upkeep.forgetting import Busy
from tocsin.persistence.upkeep.tables import TABLES, Unsuitable


class PostgresHands:
    """See `forgetting.Hands`."""

    find = "strpos"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            async with self._connection.transaction():
                yield
        except asyncpg.DeadlockDetectedError as error:
            raise Busy from error

    async def run(self, sql: str, *parameters: str) -> Sequence[Sequence[Any]]:
        return [tuple(row) for row in await self._connection.fetch(sql, *parameters)]

    async def texts(self, table: str) -> list[str]:
        rows = await self._connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
            " AND NOT attisdropped AND atttypid = 'text'::regtype",
            table,
        )
        return [row[0] for row in rows]


@asynccontextmanager
async def postgres_hands(url: str) -> AsyncIterator[PostgresHands]:
    """Hands on the database at *url*. Raises `OSError` or an error of asyncpg."""
    async with connected(url) as connection:
        yield PostgresHands(connection)


async def count_nodes(url: str) -> int:
    """The number of connections of nodes to the database at *url*."""
    async with connected(url) as connection:
        return await nodes_connected(connection)


async def vacuum(url: str, *, full: bool) -> tuple[int, int]:
    """Vacuum our tables; their bytes before and after.

    With *full*, no node may be using them. Raises `Unsuitable` if one is, or if the tables belong
    to another role. Cancelled, some tables are vacuumed and the others are as they were.
    """
    async with connected(url) as connection:
        if full and (nodes := await nodes_connected(connection)):
            raise Unsuitable(
                f"{nodes} connections of nodes are open to it, and would wait for each table",
                "stop the nodes first, or leave --full out",
            )
        foreign = await connection.fetchval(
            "SELECT count(*) FROM unnest($1::text[]) AS name JOIN pg_class ON oid = name::regclass"
            " WHERE NOT pg_has_role(relowner, 'USAGE')",
            list(TABLES),
        )
        if foreign:  # Postgres would skip them, and only log a warning
            raise Unsuitable("The tables are another role's", "do it as the role that owns them")
        before = await _bytes(connection)
        for table in TABLES:
            await connection.execute(f"VACUUM ({'FULL, ' if full else ''}ANALYZE) {table}")
        return before, await _bytes(connection)


async def _bytes(connection: Connection) -> int:
    total: int = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(name::regclass))::bigint"
        " FROM unnest($1::text[]) AS name",
        list(TABLES),
    )
    return total
