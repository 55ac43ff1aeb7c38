"""The store in one SQLite file: a complete installation in one process.

There is one connection, used by one worker thread at a time: SQLite has one writer anyway, and
group commit makes that writer's transactions large. Reads share the thread. They wait for a commit,
and in return no call ever finds the database locked or busy through us.

Every commit is synced (`synchronous=FULL`), so that answered commands survive a power cut.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from tocsin.persistence import migrations
from tocsin.persistence.migrations import Migration
from tocsin.persistence.scripts.limits import LIMITS, ScriptLimits
from tocsin.persistence.scripts.read import read
from tocsin.persistence.scripts.statements import Rows, Script, Statement, drive, load, run
from tocsin.persistence.scripts.write import write
from tocsin.persistence.sqlite.performing import PreparedStatement, perform, prepare
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.opened import Opened
from tocsin.persistence.store.results import Result

logger = structlog.get_logger(__name__)

T = TypeVar("T")

DIALECT = "sqlite"
MEMORY = ":memory:"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that has locked the file, such as a backup."""
CLOSE_TIMEOUT = 5.0
"""Seconds that closing waits for the call under way, which may hang on a failing disk."""

_STATEMENTS_CACHED = 256
"""Prepared statements of a connection: more than the store has, so that none is parsed twice."""
_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # 64 MiB: a `-wal` file that a burst has made larger is cut to this size.
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
    # 64 MiB for pages of heads, the right edges of indexes, and entries that are read soon.
    "PRAGMA cache_size = -65536",
)
# States of the world that may pass: the disk is full or failing, another process has locked the
# file, or the file is protected. All other codes are bugs of ours.
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
# Those of them that prevent writing only.
_READABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}


@cache
def _statements() -> dict[str, PreparedStatement]:
    return prepare(load(DIALECT))


class _Moved(StoreUnavailable):
    """The path of the database leads to another file than the one that is open, or to none."""


def _moved(path: str, found: tuple[int, int] | None) -> _Moved:
    if found is None:
        happened, remedy = "moved or removed", "put it back, or restart the server to make anew"
    else:
        happened = "replaced"
        remedy = "restart the server to use it, or put the former one back"
    reason = f"the database's file was {happened} while it was in use"
    return _Moved(f"{path}: {reason}; {remedy}", reason=reason)


class SqliteStore(Opened):
    """`Store` in the file *path*, which is made with mode 0600 if it does not exist.

    With *inline*, all work runs in the calling task. That blocks the event loop, but the same calls
    take the same steps, as simulation needs. *path* may then be `":memory:"`. *entropy* gives
    random bytes for the epoch and the secret of a new database. *clock* is the store's, in Unix
    milliseconds. *limits* bound a transaction, which leaves *footprints* if other nodes write to
    this store too.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        inline: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        limits: ScriptLimits = LIMITS,
        footprints: bool = False,
    ) -> None:
        super().__init__()
        self._path = os.fspath(path)
        self._inline = inline
        self._entropy = entropy
        self._clock = clock
        self._limits = limits
        self._footprints = footprints
        self._statements = _statements()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        # One call at a time. Trio may run each in another thread.
        self._turn = trio.CapacityLimiter(1)

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
        """The migrations that `open` would apply. Neither makes nor changes the file."""
        return await self._call(self._pending)

    async def aclose(self) -> None:
        # Shielded, because closing tidies up the files. Bounded, because it waits for the call
        # under way, which may wait for a disk that never answers.
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
        """Run *work*; raise `StoreUnavailable` for states of the world, `StoreFailed` for bugs."""
        try:
            return work()
        except _Moved:
            self._fold_log()
            raise
        except (StoreUnavailable, StoreFailed):
            raise
        except sqlite3.Error as error:
            # Errors of the driver itself (a wrong number of parameters) have no code.
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
        """Apply missing migrations; the epoch and the secret, which are made if there are none."""
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
        return self._run_script(
            "IMMEDIATE",
            write(commands, self.epoch, self._limits, footprints=self._footprints),
            self._check_file,
        )

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
        # A function that calls, not a context manager, which costs more for every transaction.
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
                # Closing rolls back as well, and a connection in an unknown state is not used on.
                self._forget_connection()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _check_file(self) -> None:
        """Check that the path still leads to the open file. Raises `StoreUnavailable` if not.

        A file that was renamed or removed can still be written to, but the next start would not
        find the data. The check is made before every commit, so that no command is answered as
        durable in vain.
        """
        if self._file is not None and self._file != (found := _identity(self._path)):
            raise _moved(self._path, found)

    def _fold_log(self) -> None:
        """Write the contents of the `-wal` file into the database's file, wherever that is now.

        The connection stays open: while it is, the file's number cannot be given to another file,
        which could then be taken for this one.
        """
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise StoreFailed(f"SQLite {sqlite3.sqlite_version} is too old: {oldest} is needed")
        if self._file is not None and self._file != (found := _identity(self._path)):
            # No new file is made: it would be an empty database, under a running server.
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
        connection.create_function("store_now_ms", 0, self._clock)
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection

    def _forget_connection(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                # Closing writes the `-wal` file back into the database, which a failing disk
                # refuses. The next connection finds both files and reads them together.
                return


def _identity(path: str) -> tuple[int, int] | None:
    """The device and number of the file at *path*, or `None` if there is no file."""
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
    """The applied migrations (number → checksum), and the database's record of newer ones."""
    applied = dict(connection.execute(migrations.READ_APPLIED))
    if not migrations.newer(DIALECT, applied):
        return applied, None
    said = connection.execute(migrations.READ_SCHEMA).fetchone()
    return applied, said and said[0]


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    # Not `executescript`: that commits the open transaction, and applies the rest without one.
    statement = ""
    for line in migration.sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(statement)  # the rest after the last semicolon, at most comments
    values = (migration.number, migration.name, migration.checksum)
    connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", values)
