"""Makes connections to Postgres, and looks at each before it is used.

On a direct connection, our settings are those of the session, given at its start. A pooler such as
PgBouncer refuses or ignores them, and in its transaction mode a setting of the session stays on a
server connection that other clients use next. So behind a pooler every transaction begins by
setting them for itself, in the same round trip. A pooler is recognised by the process id: the
server process that runs our statement is not the one that was named when we connected.

Prepared statements survive if the pooler keeps them (PgBouncer from 1.21 on, with
`max_prepared_statements`; every version in session mode). Their names are unique to this process,
so that a node can never run the statement of another client. If they get lost, statements have no
names any more, and each costs one round trip more.

Asyncio code: everything here runs inside the trio-asyncio loop.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import structlog

from tocsin.persistence.postgres.pipeline import Pipeline
from tocsin.persistence.store import StoreFailed

logger = structlog.get_logger(__name__)

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

STATEMENTS_MAX: Final = 1000
"""Statements that a connection keeps prepared: more than there are, so that none is lost again."""
JOURNAL: Final = "migrations"
_REMEDY: Final = "set max_prepared_statements (PgBouncer 1.21 or later), or pool_mode = session"
OTHER_JOURNAL: Final = "tocsin_migrations"
"""The table that records migrations if the schema has another program's table `migrations`."""

# Reads the id of the server's process, whether our settings are in force, and the schema of our
# tables: the first one of the search path that has our journal, recognised by its columns, or else
# the one in which a new table would be made.
_SURVEY: Final = f"""
SELECT pg_backend_pid(), current_setting('plan_cache_mode') = 'force_generic_plan',
    current_schema(), cardinality(current_schemas(false)), ours.schema, ours.journal,
    to_regclass(quote_ident(current_schema()) || '.{JOURNAL}') IS NOT NULL
FROM (SELECT) AS one LEFT JOIN LATERAL (
    SELECT n.nspname AS schema, c.relname AS journal
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, place)
    JOIN pg_namespace AS n ON n.nspname = s.name
    JOIN pg_class AS c ON c.relnamespace = n.oid
    WHERE c.relname IN ('{JOURNAL}', '{OTHER_JOURNAL}') AND c.relkind = 'r' AND (
        SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) = ARRAY['number', 'name', 'checksum']
    ORDER BY s.place, c.relname DESC LIMIT 1
) AS ours ON true
"""


@dataclass(frozen=True, slots=True)
class Link:
    """The operator's wishes for connections: *settings* of sessions, and options of TCP in seconds.

    If *connect_timeout* is `None`, only the time limit of the call holds; a *tcp_user_timeout* of
    `None` is chosen by the store. A value of 0 for keepalives leaves the system's own.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float | None = None
    keepalives: bool = True
    keepalives_idle: int = 60
    keepalives_interval: int = 10
    keepalives_count: int = 3
    tcp_user_timeout: float | None = None


class Connection(_Connection):
    """A connection with the findings about it; *beginning* are the statements that begin each of
    its transactions.
    """

    retire_at: float
    used_at: float
    is_pooled: bool
    has_names: bool
    is_taken_over: bool
    beginning: tuple[str, ...]
    pipeline: Pipeline
    schema: str
    journal: str
    # Attributes of asyncpg's own, which its types do not show; contract tests watch them.
    _transport: asyncio.Transport
    _protocol: Any

    @property
    def begin(self) -> str:
        """The statements of *beginning* as one text."""
        return "; ".join(self.beginning)

    def _get_unique_id(self, prefix: str) -> str:
        # Overrides a private method of asyncpg; a contract test watches it.
        return f"tocsin_{_PROCESS}_{prefix}_{next(_NUMBERS):x}"


_PROCESS: Final = secrets.token_hex(6)
_NUMBERS: Final = count(1)


class Connector:
    """Makes connections to *url* whose transactions all run with *settings*."""

    def __init__(self, url: str, *, settings: Mapping[str, str], link: Link) -> None:
        self._url = url
        self._settings = {**settings, **link.settings}
        self._link = link
        self._behind_pooler = False
        self._names = True

    def forget_names(self) -> None:
        """Prepare statements without names on connections that are made from now on."""
        if self._names:
            self._names = False
            logger.warning("the pooler forgets prepared statements", remedy=_REMEDY)

    async def connect(self) -> Connection:
        """Make a connection. Raises the errors of asyncpg, and `StoreFailed` if the role has no
        schema for our tables, or the pooler refuses settings of the URL.
        """
        connection = await self._open()
        try:
            await self._look_at(connection)
        except BaseException:
            connection.terminate()
            raise
        self._set_socket(connection)
        connection.used_at = asyncio.get_running_loop().time()
        return connection

    async def _open(self) -> Connection:
        if not self._behind_pooler:
            try:
                return await self._start(self._settings)
            except asyncpg.PostgresError as error:
                if "startup parameter" not in str(error):
                    raise
            self._notice_pooler()
        allowed = {
            name: value
            for name, value in self._settings.items()
            if name in ("application_name", "options")
        }
        try:
            return await self._start(allowed)
        except asyncpg.PostgresError as error:
            if "startup parameter" in str(error):
                wrong = f"The pooler refuses what `database` says in `options`: {error}."
                raise StoreFailed(f"{wrong} Leave it out, or allow it there.") from error
            raise

    async def _start(self, settings: Mapping[str, str]) -> Connection:
        has_names = self._names
        connection: Any = await asyncpg.connect(
            self._url,
            server_settings=dict(settings),
            timeout=self._link.connect_timeout or 60.0,
            connection_class=Connection,
            # Our statements are few and never change: prepare each once per connection.
            statement_cache_size=STATEMENTS_MAX if has_names else 0,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
        )
        assert isinstance(connection, Connection)
        connection.has_names = has_names
        connection.is_taken_over = False
        connection.pipeline = Pipeline(connection, names=has_names)
        return connection

    def _notice_pooler(self) -> None:
        if not self._behind_pooler:
            self._behind_pooler = True
            logger.info("postgres is behind a pooler")

    async def _look_at(self, connection: Connection) -> None:
        row = await self._survey(connection)
        if not self._behind_pooler and (row[0] != connection.get_server_pid() or not row[1]):
            self._notice_pooler()
            row = await self._survey(connection)
        _, _, first, schemas, schema, journal, is_taken = row
        if first is None:
            raise StoreFailed(
                "The role's search_path names no schema that there is: make one (CREATE SCHEMA "
                "tocsin), and name it (ALTER ROLE … SET search_path = tocsin)."
            )
        connection.is_pooled = self._behind_pooler
        connection.schema = schema or first
        connection.journal = journal or (OTHER_JOURNAL if is_taken else JOURNAL)
        connection.beginning = self._begin()
        if schemas > 1:
            # Fixed, so that tables of other programs in another schema can never be taken for ours.
            path = '"{}"'.format(connection.schema.replace('"', '""'))
            if connection.is_pooled:
                connection.beginning = self._begin(search_path=path)
            else:
                await connection.execute(f"SET search_path = {path}")

    async def _survey(self, connection: Connection) -> asyncpg.Record:
        # In a transaction, because only within one a pooler stays with one server.
        await connection.execute("; ".join(self._begin()))
        row = await connection.fetchrow(_SURVEY)
        await connection.execute("COMMIT")
        assert row is not None
        return row

    def _begin(self, **more: str) -> tuple[str, ...]:
        if not self._behind_pooler:
            return ("BEGIN",)
        settings = {**self._settings, **more}
        for name in ("application_name", "options", "default_transaction_isolation"):
            settings.pop(name, None)
        calls = ", ".join(
            f"set_config({_literal(name)}, {_literal(value)}, true)"
            for name, value in settings.items()
        )
        # The offset leaves no row to be returned, and the calls are made all the same.
        return ("BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT {calls} OFFSET 1")

    def _set_socket(self, connection: Connection) -> None:
        """Set TCP options: keepalives, so that the network does not forget a silent connection, and
        a time limit for unacknowledged bytes, so that a forgotten one is noticed.
        """
        found = connection._transport.get_extra_info("socket")
        link = self._link
        if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        if link.keepalives:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # macOS has the option under another name; a system without it is passed over.
            idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
            _set(found, idle, link.keepalives_idle)
            _set(found, "TCP_KEEPINTVL", link.keepalives_interval)
            _set(found, "TCP_KEEPCNT", link.keepalives_count)
        if link.tcp_user_timeout:
            _set(found, "TCP_USER_TIMEOUT", round(link.tcp_user_timeout * 1000))


def _set(found: Any, option: str, value: int) -> None:
    if value and hasattr(socket, option):
        found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _literal(text: str) -> str:
    # An escape string, which does not depend on standard_conforming_strings.
    return "E'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))
