"""A Postgres database as one side of a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tocsin.persistence.postgres.backup import read_applied
from tocsin.persistence.postgres.connection import Connection, connected, nodes_connected
from tocsin.persistence.upkeep.copying import BATCH, Row
from tocsin.persistence.upkeep.tables import TABLES, Unsuitable

_LETTERS: Final = "pg_get_serial_sequence('dead_letters', 'id')::regclass"


class PostgresSide:
    """See `copying.Side`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        kind = self._connection.transaction(isolation="repeatable_read", readonly=not self._writes)
        async with kind:
            if self._writes:
                # Against nodes that start meanwhile: they wait, or report that the store is away.
                tables = ", ".join(TABLES)
                await self._connection.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")
            yield

    async def applied(self) -> dict[int, str]:
        return (await read_applied(self._connection))[0]

    async def columns(self, table: str) -> list[str]:
        return sorted(await self._types(table))

    async def count(self, table: str, condition: str) -> int:
        sql = f"SELECT count(*) FROM {table} WHERE {condition}"
        count: int = await self._connection.fetchval(sql)
        return count

    async def rows(
        self, table: str, columns: Sequence[str], condition: str
    ) -> AsyncIterator[list[Row]]:
        types = await self._types(table)
        terms = [f"{name}::int" if types[name] == "bool" else name for name in columns]
        sql = f"SELECT {', '.join(terms)} FROM {table} WHERE {condition}"
        cursor = await self._connection.cursor(sql)
        while rows := await cursor.fetch(BATCH):
            yield [tuple(row) for row in rows]

    async def put(self, table: str, columns: Sequence[str], rows: list[Row]) -> None:
        types = await self._types(table)
        if places := [place for place, name in enumerate(columns) if types[name] == "bool"]:
            rows = [_with_booleans(row, places) for row in rows]
        # COPY writes ids as they are given, also into columns that are `GENERATED ALWAYS`.
        await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def delete(self, table: str, condition: str) -> None:
        await self._connection.execute(f"DELETE FROM {table} WHERE {condition}")

    async def last_letter(self) -> int:
        name = await self._connection.fetchval(f"SELECT {_LETTERS}::text")
        last: int = await self._connection.fetchval(
            f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {name}"
        )
        return last

    async def set_last_letter(self, id: int) -> None:  # noqa: A002 (what it is called)
        await self._connection.execute(f"SELECT setval({_LETTERS}, $1 + 1, false)", id)

    async def set_epoch(self, epoch: str) -> None:
        await self._connection.execute("UPDATE meta SET value = $1 WHERE name = 'epoch'", epoch)

    async def _types(self, table: str) -> dict[str, str]:
        rows = await self._connection.fetch(
            "SELECT attname, typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
        return {row[0]: row[1] for row in rows}


@asynccontextmanager
async def postgres_side(
    url: str, *, writes: bool, beside_nodes: bool
) -> AsyncIterator[PostgresSide]:
    """The database at *url* as one side of a copy.

    Raises `Unsuitable` if nodes are connected to it, unless *beside_nodes* allows that. Cancelled,
    its connection ends, and with that a transaction that is open.
    """
    async with connected(url) as connection:
        if not beside_nodes and (nodes := await nodes_connected(connection)):
            role = "target" if writes else "source"
            raise Unsuitable(
                f"{nodes} connections of nodes are open to the {role}", "stop the nodes first"
            )
        yield PostgresSide(connection, writes=writes)


def _with_booleans(row: Row, places: Sequence[int]) -> Row:
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else bool(values[place])
    return tuple(values)
