"""A SQLite database as one side of a copy. The calls block: a command has no other tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from tocsin.persistence.sqlite.backup import BUSY_TIMEOUT, read_applied
from tocsin.persistence.upkeep.copying import BATCH, Row

_LETTERS: Final = "dead_letters"


class SqliteSide:
    """See `copying.Side`."""

    def __init__(self, connection: sqlite3.Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    async def applied(self) -> dict[int, str]:
        return read_applied(self._connection)[0]

    async def columns(self, table: str) -> list[str]:
        return sorted(row[1] for row in self._connection.execute(f"PRAGMA table_info({table})"))

    async def count(self, table: str, condition: str) -> int:
        sql = f"SELECT count(*) FROM {table} WHERE {condition}"
        [count] = self._connection.execute(sql).fetchone()
        return int(count)

    async def rows(
        self, table: str, columns: Sequence[str], condition: str
    ) -> AsyncIterator[list[Row]]:
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {condition}"
        cursor = self._connection.execute(sql)
        while rows := cursor.fetchmany(BATCH):
            yield rows

    async def put(self, table: str, columns: Sequence[str], rows: list[Row]) -> None:
        marks = ", ".join("?" for _ in columns)
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        self._connection.executemany(sql, rows)

    async def delete(self, table: str, condition: str) -> None:
        self._connection.execute(f"DELETE FROM {table} WHERE {condition}")

    async def last_letter(self) -> int:
        sql = "SELECT max(seq) FROM sqlite_sequence WHERE name = ?"
        [last] = self._connection.execute(sql, (_LETTERS,)).fetchone()
        return last or 0

    async def set_last_letter(self, id: int) -> None:  # noqa: A002 (what it is called)
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (_LETTERS,))
        self._connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (_LETTERS, id))

    async def set_epoch(self, epoch: str) -> None:
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))


@contextmanager
def sqlite_side(path: Path, *, writes: bool) -> Iterator[SqliteSide]:
    """The database in the file *path*, which has to exist, as one side of a copy."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    with closing(connection):
        yield SqliteSide(connection, writes=writes)
        if writes:
            # Leaves one file, without a `-wal` file beside it.
            connection.execute("PRAGMA journal_mode = DELETE")
