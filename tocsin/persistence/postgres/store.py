"""The store in Postgres, for many nodes: asyncpg, reached from Trio through trio-asyncio.

Crossing between the two event loops is the dear part (some 200 µs a crossing), so a call crosses
once, whatever it carries: taking a connection, the transaction with all its statements, and
returning the connection are one asyncio coroutine. The coroutine has one deadline. If it ends
before the answer to its commit, its connection is ended too: a connection whose state is unknown is
never used again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar

import asyncpg
import structlog
import trio
from trio_asyncio import aio_as_trio

from tocsin.persistence import migrations
from tocsin.persistence.migrations import Migration
from tocsin.persistence.postgres.arrays import with_array_texts
from tocsin.persistence.postgres.connecting import Connection, Connector, Link
from tocsin.persistence.postgres.driving import Pause, drive
from tocsin.persistence.postgres.errors import is_retryable, tables_needed, translated
from tocsin.persistence.postgres.pool import Pool
from tocsin.persistence.postgres.records import record_class
from tocsin.persistence.scripts.limits import LIMITS, ScriptLimits
from tocsin.persistence.scripts.read import read
from tocsin.persistence.scripts.statements import Rows, Script, Statement, load, run
from tocsin.persistence.scripts.write import write
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.opened import Opened
from tocsin.persistence.store.results import Result

logger = structlog.get_logger(__name__)

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], Coroutine[Any, Any, T]]
"""The work of a call: statements on one connection, one after the other, and no other waiting."""

DIALECT = "postgres"
ATTEMPTS = 5
"""Attempts at a transaction that loses a deadlock or a race, the first one included."""
RETRY_DELAY = 0.02
"""Seconds before the second attempt; each further attempt waits that much longer."""
LOCK_PATIENCE = 2.0
"""Seconds that a statement waits for the lock of another transaction, or a quarter of a call's time
limit if that is less. A transaction of another node may take so long if its disk is slow."""
_HURRY = "SET LOCAL lock_timeout = 100"
"""The lock timeout of a hurried call, in milliseconds: longer than most transactions of nodes."""
MIGRATION_TIMEOUT = 3600.0
"""Seconds for all missing migrations: making an index on a large table takes long."""

# The number of the advisory lock is arbitrary, but Tocsin's own: "tocs" in ASCII.
_MIGRATION_LOCK = 0x746F6373


class PostgresStore(Opened):
    """`Store` in the Postgres database at *url*; `trio_asyncio.open_loop()` must be open around it.

    At most *pool_size* calls run at once; further calls wait. A call that has not ended after
    *command_timeout* seconds, waiting included, raises `StoreUnavailable`. A cancelled call ends
    its connection. *entropy* gives random bytes for the epoch and the secret of a new database.
    *link* are the operator's wishes for connections, and *limits* bound a transaction. It leaves
    *footprints* if other nodes write to this database too.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 4,
        command_timeout: float = 10.0,
        entropy: Callable[[int], bytes] = os.urandom,
        link: Link | None = None,
        limits: ScriptLimits = LIMITS,
        footprints: bool = False,
    ) -> None:
        super().__init__()
        link = link or Link()
        if link.tcp_user_timeout is None:
            # Half of it, so that a call whose bytes are swallowed has time for another connection.
            link = replace(link, tcp_user_timeout=command_timeout / 2)
        connector = Connector(url, settings=_settings(command_timeout), link=link)
        self._pool = Pool(connector, size=pool_size)
        self._timeout = command_timeout
        self._entropy = entropy
        self._limits = limits
        self._footprints = footprints
        self._sql = {
            name: (
                sql,
                *with_array_texts(sql.text, len(sql.parameters)),
                record_class(name, sql.columns),
            )
            for name, sql in load(DIALECT).items()
        }

    async def open(self) -> None:
        self._pool.reopen()
        pending, newer = await self._call(partial(_within, work=_survey), self._timeout)
        if pending:
            await self._call(self._migrate, MIGRATION_TIMEOUT)
        if newer:
            logger.warning("the database is of a newer release", newest=newer[-1])
        self._epoch, self._secret = await self._call(self._claim, self._timeout)

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        async def work(connection: Connection) -> list[Result]:
            begin = (*connection.beginning, _HURRY) if hurried else connection.beginning
            return await self._transaction(
                connection,
                lambda: write(
                    *(commands, self.epoch, self._limits), footprints=self._footprints, few=True
                ),
                begin,
            )

        return await self._call(work, self._timeout)

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        async def work(connection: Connection) -> list[Any]:
            # No transaction: a statement sees one moment, and no answer needs two statements
            # (`scripts.read`).
            return await self._alone(connection, lambda: read(queries))

        return await self._call(work, self._timeout)

    async def probe(self) -> None:
        async def work(connection: Connection) -> None:
            await self._alone(connection, lambda: run("probe"))

        await self._call(work, self._timeout)

    async def pending(self) -> list[Migration]:
        """The migrations that `open` would apply. Changes nothing."""
        pending, _ = await self._call(partial(_within, work=_survey), self._timeout)
        return pending

    async def aclose(self) -> None:
        await aio_as_trio(self._pool.aclose)()

    # --- In asyncio -----------------------------------------------------------------------------

    async def _call(self, work: Work[T], timeout: float) -> T:
        if (connection := self._pool.take_at_once()) is not None:
            return await self._here(connection, work, timeout)
        try:
            answer: T = await aio_as_trio(self._bounded)(work, timeout)
        except asyncio.CancelledError as error:
            # A cancelled call gets Trio's exception. This one means that the loop is closing.
            raise StoreUnavailable("the driver's event loop is closing") from error
        return answer

    async def _here(self, connection: Connection, work: Work[T], timeout: float) -> T:
        """Do *work* on *connection* in this task of Trio, which is cheaper than in asyncio."""
        try:
            with trio.fail_after(timeout):
                answer = await drive(connection, work(connection))
        except BaseException as error:
            self._pool.drop(connection)
            if isinstance(error, Exception):
                _tell(error, timeout)
            raise
        self._pool.give_back(connection)
        return answer

    async def _bounded(self, work: Work[T], timeout: float) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await self._on_connection(work)
        except Exception as error:
            _tell(error, timeout)

    async def _on_connection(self, work: Work[T]) -> T:
        while True:
            try:
                async with self._pool.connection() as connection:
                    return await work(connection)
            except asyncpg.InvalidSQLStatementNameError:
                # A pooler has given us another server, which does not know the prepared statement.
                # Nothing was committed: COMMIT is not reached behind it, and without its own name
                # does nothing.
                if not (connection.is_pooled and connection.has_names):
                    raise
                self._pool.forget_names()

    async def _alone(self, connection: Connection, script: Callable[[], Script[T]]) -> T:
        """Run *script*, whose statements need no common transaction; a pooler needs one anyway."""
        if connection.is_pooled:
            return await self._transaction(connection, script, connection.beginning)
        answer = await self._drive(connection, script())
        await connection.pipeline.flush()
        return answer

    async def _transaction(
        self, connection: Connection, script: Callable[[], Script[T]], begin: Sequence[str]
    ) -> T:
        """Run *script* in a transaction, and anew if that loses a deadlock or a race."""
        attempt, pipeline = 1, connection.pipeline
        while True:
            try:
                for each in begin:
                    await pipeline.add(each)
                answer = await self._drive(connection, script())
                await pipeline.add("COMMIT")
                await pipeline.flush()
            except Exception as error:
                # When this raises, the pool drops the connection, and with it the transaction.
                if attempt == ATTEMPTS or not is_retryable(error):
                    raise
            else:
                return answer
            pipeline.drop()
            await connection.execute("ROLLBACK")
            delay = RETRY_DELAY * attempt
            await (Pause(delay) if connection.is_taken_over else asyncio.sleep(delay))
            attempt += 1

    async def _drive(self, connection: Connection, script: Script[T]) -> T:
        try:
            statement = next(script)
            while True:
                statement = script.send(await self._perform(connection, statement))
        except StopIteration as done:
            answer: T = done.value
            return answer

    async def _perform(self, connection: Connection, statement: Statement) -> Rows:
        sql, text, encoders, record = self._sql[statement.name]
        self._statements_run += 1
        columns = [
            encode(column)
            for encode, column in zip(encoders, sql.arguments(statement), strict=True)
        ]
        if sql.columns:
            return await connection.pipeline.fetch(text, columns, record)
        await connection.pipeline.add(text, columns)
        return ()

    async def _migrate(self, connection: Connection) -> None:
        await _within(connection, self._apply_missing)

    async def _apply_missing(self, connection: Connection) -> None:
        # The second of two nodes that start together waits here, and then finds nothing to do.
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        with tables_needed(connection.schema):
            await connection.execute(_in(connection.journal, migrations.CREATE_TABLE))
            applied, schema = await _applied(connection)
            pending = migrations.missing(DIALECT, applied, schema)
            for migration in pending:
                await connection.execute(migration.sql)
                await connection.execute(
                    _in(connection.journal, "INSERT INTO migrations VALUES ($1, $2, $3)"),
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
            if pending:
                await connection.execute(migrations.note_schema(DIALECT, applied, schema))

    async def _claim(self, connection: Connection) -> tuple[str, str]:
        """The epoch of the logs and the secret of the nodes; the first node makes them."""
        epoch = migrations.epoch_from(self._entropy(migrations.EPOCH_LENGTH))
        secret = self._entropy(migrations.SECRET_BYTES).hex()
        return (
            await self._alone(connection, lambda: _claimed("epoch", epoch)),
            await self._alone(connection, lambda: _claimed("secret", secret)),
        )


def _tell(error: Exception, timeout: float) -> NoReturn:
    """Raise the exception that says *error* to the caller of the store."""
    if isinstance(error, StoreUnavailable | StoreFailed):
        raise error
    if isinstance(error, TimeoutError | trio.TooSlowError):
        wrong = f"Postgres did not answer within {timeout:g} s"
        raise StoreUnavailable(wrong, timed_out=True) from error
    raise translated(error) from error


def _settings(command_timeout: float) -> Mapping[str, str]:
    """The settings of our sessions (see `connecting`); *command_timeout* is in seconds."""
    limit = str(round(command_timeout * 1000))
    patience = str(max(1, round(min(LOCK_PATIENCE, command_timeout / 4) * 1000)))
    return {
        "application_name": "tocsin",
        "default_transaction_isolation": "read committed",
        # Every statement joins an array of some hundreds of rows to tables through their indexes:
        # there is one right plan, and it depends on no statistics. The planner by itself chooses
        # others while tables are new or have just grown, and such a plan lives as long as its
        # connection. Compiling such statements (jit) takes longer than running them.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
        # The meaning of our texts must not depend on settings of a role or a server.
        "array_nulls": "on",
        "standard_conforming_strings": "on",
        "lock_timeout": patience,
        # Our transactions leave a footprint, or there is no other node to want it. For those of
        # other programs a trigger leaves one.
        "tocsin.footprints": "on",
        # The call has given up by then, so the server need not work on. And a frozen node with an
        # open transaction must not keep its locks from all other nodes.
        "statement_timeout": limit,
        "idle_in_transaction_session_timeout": limit,
    }


async def _survey(connection: Connection) -> tuple[list[Migration], list[int]]:
    """The migrations to apply, and the numbers of applied ones that this program does not know.

    Raises `StoreFailed` if the database cannot be used.
    """
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreFailed(f"The database's encoding is {encoding}; Tocsin needs UTF8.")
    applied: dict[int, str] = {}
    schema = None
    if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", connection.journal):
        applied, schema = await _applied(connection)
    pending = list(migrations.missing(DIALECT, applied, schema))
    return pending, migrations.newer(DIALECT, applied)


async def _applied(connection: Connection) -> tuple[dict[int, str], str | None]:
    """The applied migrations (number → checksum), and the database's record of newer ones."""
    rows: Sequence[asyncpg.Record] = await connection.fetch(
        _in(connection.journal, migrations.READ_APPLIED)
    )
    applied: dict[int, str] = {row[0]: row[1] for row in rows}
    if not migrations.newer(DIALECT, applied):
        return applied, None
    return applied, await connection.fetchval(migrations.READ_SCHEMA)


def _in(journal: str, sql: str) -> str:
    """*sql* about applied migrations, with the name of the table *journal* that records them."""
    return sql.replace("migrations", journal)


async def _within(connection: Connection, work: Work[T]) -> T:
    """Do *work* in a transaction. If it raises, the pool ends the connection, which rolls back."""
    await connection.execute(connection.begin)
    done = await work(connection)
    await connection.execute("COMMIT")
    return done


def _claimed(name: str, fresh: str) -> Script[str]:
    """The value of *name* in `meta`: the one that is there already, or else *fresh*."""
    [claimed] = yield from run("meta_claim", name=[name], value=[fresh])
    return str(claimed.value)
