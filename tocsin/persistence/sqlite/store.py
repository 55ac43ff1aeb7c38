"""The store in one SQLite file: a complete installation in one process.

One connection, and one worker thread at a time that uses it: SQLite has one writer anyway, and
group commit makes that writer's transactions large. Reads share the thread; they wait for a
commit, and in return nothing is ever locked, busy or half done.

Every commit is synced (`synchronous=FULL`): what was answered survives a power cut.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from tocsin.persistence import migrations
from tocsin.persistence.migrations import Migration
from tocsin.persistence.scripts.read import read
from tocsin.persistence.scripts.statements import Rows, Script, Statement, drive, load, run
from tocsin.persistence.scripts.write import write
from tocsin.persistence.sqlite.performing import perform, prepare
from tocsin.persistence.store import (
    Command,
    Query,
    Result,
    StoreFailed,
    StoreUnavailable,
)

logger = structlog.get_logger(__name__)

T = TypeVar("T")

DIALECT = "sqlite"
MEMORY = ":memory:"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that has the file, such as a backup."""
CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the last call when closing."""

_STATEMENTS_CACHED = 256
"""Prepared statements of a connection: more than the store has, so that none is parsed twice."""
_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # The log of a burst gives its room back.
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
    # 64 MiB: the pages of the heads, the indexes' right edges and what devices are about to read.
    "PRAGMA cache_size = -65536",
)
# What passes without us: the disk is full or failing, somebody has the file, or it is protected.
_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
}
# Of these, what concerns writing alone.
_READABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}


class _Moved(StoreUnavailable):
    """Under the database's name stands another file than the one that we have, or none."""


def _moved(path: str, found: tuple[int, int] | None) -> _Moved:
    if found is None:
        happened, remedy = "moved or removed", "put it back, or restart the server to make anew"
    else:
        happened = "replaced"
        remedy = "restart the server to use it, or put the former one back"
    reason = f"the database's file was {happened} while it was in use"
    return _Moved(f"{path}: {reason}; {remedy}", reason=reason)


class SqliteStore:
    """`Store` in the file *path*, which is made with mode 0600 if it is not there.

    With *inline*, everything runs in the calling task: it blocks the event loop, and the same
    calls take the same steps, which is what simulation needs. *path* may then be `":memory:"`.
    *entropy* gives random bytes for the name of a new database's epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        inline: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._path = os.fspath(path)
        self._inline = inline
        self._entropy = entropy
        self._statements = prepare(load(DIALECT))
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._epoch: str | None = None
        self._secret: str | None = None
        # The thread may be another one each time; never two at once.
        self._turn = trio.CapacityLimiter(1)
        self._statements_run = 0

    @property
    def epoch(self) -> str:
        if self._epoch is None:
            raise RuntimeError("the epoch is known once the store is open")
        return self._epoch

    @property
    def secret(self) -> str:
        if self._secret is None:
            raise RuntimeError("the secret is known once the store is open")
        return self._secret

    @property
    def statements_run(self) -> int:
        return self._statements_run

    async def open(self) -> None:
        await self._call(self._open)

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        return await self._call(partial(self._write, commands))

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        return await self._call(partial(self._read, queries))

    async def probe(self) -> None:
        await self._call(self._probe)

    async def pending(self) -> list[Migration]:
        """The migrations that `open` would apply; neither makes nor changes the file."""
        return await self._call(self._pending)

    async def aclose(self) -> None:
        # Shielded, because closing tidies up the files. Bounded, because it waits for the call that
        # has the thread, and that may be waiting for a disk that never answers.
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await self._call(self._forget_connection)

    # --- In the worker thread -------------------------------------------------------------------

    async def _call(self, work: Callable[[], T]) -> T:
        if self._inline:
            await trio.lowlevel.checkpoint()
            return self._guarded(work)
        return await trio.to_thread.run_sync(
            self._guarded, work, abandon_on_cancel=True, limiter=self._turn
        )

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run *work*, and tell what passes from what is a bug of ours."""
        try:
            return work()
        except _Moved:
            self._fold_log()
            raise
        except (StoreUnavailable, StoreFailed):
            raise
        except sqlite3.Error as error:
            # A driver's own errors (a wrong number of parameters) have no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
            if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
                self._forget_connection()
            if code in _PASSING:
                readable = code in _READABLE
                raise StoreUnavailable(f"{self._path}: {error}", readable=readable) from error
            raise StoreFailed(f"{self._path}: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error
        except Exception as error:
            raise StoreFailed(f"{type(error).__name__}: {error}") from error

    def _open(self) -> None:
        self._epoch, self._secret = self._in_transaction("IMMEDIATE", self._migrate)

    def _migrate(self, connection: sqlite3.Connection) -> tuple[str, str]:
        """Make the database what it has to be; the epoch of its logs, and the nodes' secret."""
        self._check_file()
        connection.execute(migrations.CREATE_TABLE)
        applied, schema = _applied(connection)
        if pending := migrations.missing(DIALECT, applied, schema):
            for migration in pending:
                _apply(connection, migration)
            connection.execute(migrations.note_schema(DIALECT, applied, schema))
        if newer := migrations.newer(DIALECT, applied):
            logger.warning("the database is of a newer release", newest=newer[-1])
        fresh = migrations.epoch_from(self._entropy(migrations.EPOCH_LENGTH))
        secret = self._entropy(migrations.SECRET_BYTES).hex()
        return self._claim(connection, "epoch", fresh), self._claim(connection, "secret", secret)

    def _claim(self, connection: sqlite3.Connection, name: str, fresh: str) -> str:
        rows = self._perform(
            connection, Statement("meta_claim", {"name": [name], "value": [fresh]})
        )
        value: str = rows[0].value
        return value

    def _write(self, commands: Sequence[Command[Any]]) -> list[Result]:
        return self._run_script("IMMEDIATE", write(commands, self.epoch), self._check_file)

    def _read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        return self._run_script("DEFERRED", read(queries))

    def _probe(self) -> None:
        self._run_script("IMMEDIATE", run("probe"), self._check_file)

    def _pending(self) -> list[Migration]:
        applied: dict[int, str] = {}
        schema = None
        if Path(self._path).exists():
            uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT)) as connection:
                found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'")
                if found.fetchone():
                    applied, schema = _applied(connection)
        return list(migrations.missing(DIALECT, applied, schema))

    # --- The connection -------------------------------------------------------------------------

    def _perform(self, connection: sqlite3.Connection, statement: Statement) -> Rows:
        self._statements_run += 1
        return perform(connection, self._statements[statement.name], statement)

    def _run_script(
        self, kind: str, script: Script[T], check: Callable[[], None] = lambda: None
    ) -> T:
        def work(connection: sqlite3.Connection) -> T:
            done = drive(script, partial(self._perform, connection))
            check()
            return done

        return self._in_transaction(kind, work)

    def _in_transaction(self, kind: str, work: Callable[[sqlite3.Connection], T]) -> T:
        # A call and not a context manager: this is once for every transaction.
        connection = self._connected()
        connection.execute(f"BEGIN {kind}")
        try:
            done = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        return done

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        # Some errors (a full disk) have rolled back already.
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                # Closing rolls back as well; and nothing more is written through this connection.
                self._forget_connection()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _check_file(self) -> None:
        """See that what we write to is what stands under its name; raises `StoreUnavailable`.

        A file that was renamed or removed goes on taking what is written to it, and nobody would
        find it there. Looked at before every commit, so that nothing was answered in vain.
        """
        if self._file is not None and self._file != (found := _identity(self._path)):
            raise _moved(self._path, found)

    def _fold_log(self) -> None:
        """Bring what stands in the `-wal` file into the database's, wherever that is now.

        The connection stays open: as long as it is, no other file can be taken for this one.
        """
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise StoreFailed(f"SQLite {sqlite3.sqlite_version} is too old: {oldest} is needed")
        if self._file is not None and self._file != (found := _identity(self._path)):
            # Not made anew: that would be another, empty database, under a running server.
            raise _moved(self._path, found)
        if self._path != MEMORY:
            _make_file(Path(self._path))
            self._file = _identity(self._path)
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,  # transactions begin where we say so
            check_same_thread=False,
            cached_statements=_STATEMENTS_CACHED,
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection

    def _forget_connection(self) -> None:
        """Close the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                # Closing writes the log back into the file, which a failing disk refuses. The
                # next connection finds both and reads them together.
                return


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands under this name, if one does."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The -wal and -shm files get the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _applied(connection: sqlite3.Connection) -> tuple[dict[int, str], str | None]:
    """The migrations that were applied, and what the database says of those that we do not know."""
    applied = dict(connection.execute(migrations.READ_APPLIED))
    if not migrations.newer(DIALECT, applied):
        return applied, None
    said = connection.execute(migrations.READ_SCHEMA).fetchone()
    return applied, said and said[0]


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    # `executescript` would commit what is open and apply the rest without a transaction.
    statement = ""
    for line in migration.sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(statement)  # what comes after the last semicolon; comments are no work
    values = (migration.number, migration.name, migration.checksum)
    connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", values)
