"""Statements on a SQLite database, for commands. The calls block: a command has no other tasks."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tocsin.persistence.sqlite.backup import BUSY_TIMEOUT


class SqliteHands:
    """See `forgetting.Hands`."""

    find = "instr"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        # SQLite has one writer, so there is no deadlock and never a `Busy`.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    async def run(self, sql: str, *parameters: str) -> Sequence[Sequence[Any]]:
        return self._connection.execute(re.sub(r"\$(\d)", r"?\1", sql), parameters).fetchall()

    async def texts(self, table: str) -> list[str]:
        columns = self._connection.execute(f"PRAGMA table_info({table})")
        return [row[1] for row in columns if row[2] == "TEXT"]


@contextmanager
def sqlite_hands(path: Path) -> Iterator[SqliteHands]:
    """Hands on the database in the file *path*, which has to exist; overwrites deleted data."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    with closing(connection):
        connection.execute("PRAGMA secure_delete = ON")
        yield SqliteHands(connection)
        # The `-wal` file still has the former pages. A server that is reading keeps some of it.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def vacuum(path: Path) -> tuple[int, int]:
    """Rebuild the file *path*, which no process may be using; its bytes before and after."""
    before = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, path.stat().st_size
