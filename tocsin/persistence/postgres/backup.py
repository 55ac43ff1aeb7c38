"""Backups of a Postgres database, through Postgres' own `pg_dump`, `pg_restore` and `psql`.

Only the tables of Tocsin are dumped, because the database may hold others. The functions block:
they are for commands, not for the server.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from tocsin.persistence import migrations
from tocsin.persistence.postgres.connection import (
    Connection,
    connected,
    nodes_connected,
    tables_there,
    without_password,
)
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.upkeep.files import whole_file
from tocsin.persistence.upkeep.tables import FLEETING, MIGRATIONS, TABLES, Contents, Unsuitable

DIALECT: Final = "postgres"
MAGIC: Final = b"PGDMP"
"""The first bytes of what `pg_dump` writes in its own format."""

# A line of `pg_restore --list`, such as "218; 1259 16404 TABLE public meta tocsin_owner".
_META: Final = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) meta ", re.MULTILINE)
_FUNCTION: Final = "\nCREATE FUNCTION "
_QUOTE: Final = "$$"
_SAID_MAX: Final = 2000
"""Bytes of what a tool complains of: its first lines name the cause."""


def back_up(url: str, target: Path) -> Contents:
    """Dump the database at *url* as it is now into the new file *target*, and check that.

    Raises `Unsuitable`, `OSError` or an error of asyncpg; then there is no *target*.
    """
    contents, tables = asyncio.run(_survey(url))
    place, environment = without_password(url)
    with whole_file(target) as partial:
        options = ["--format=custom", "--no-owner", "--no-privileges", "--no-password"]
        named = [f"--table={table}" for table in tables]
        named += [f"--exclude-table-data=*.{table}" for table in FLEETING]
        _run("pg_dump", [*options, *named, f"--file={partial}", f"--dbname={place}"], environment)
        _check(partial)
        return contents._replace(bytes=partial.stat().st_size)


def restore(
    url: str, backup: Path, entropy: Callable[[int], bytes], *, replace: bool
) -> tuple[Contents, None]:
    """Restore *backup* in the database at *url*, with a new epoch from *entropy*; all or nothing.

    Raises as `back_up`, and `FileExistsError` if there are tables that are not to be replaced.
    """
    schema = _check(backup)
    former = asyncio.run(_find_former(url, replace=replace))
    # Not pg_restore's --clean, which leaves tables that were made after the backup.
    first = f"DROP TABLE {', '.join(former)};\n" if former else ""
    first += _functions(schema)
    epoch = migrations.epoch_from(entropy(migrations.EPOCH_LENGTH))
    # In the same transaction, so that no node sees the restored data with the former epoch.
    renewed = f"UPDATE {schema}.meta SET value = '{epoch}' WHERE name = 'epoch';\n"
    _replay(url, backup, first, renewed)
    contents, _ = asyncio.run(_survey(url))
    return contents, None


def _functions(schema: str) -> str:
    """Statements that make the functions of our triggers in *schema*, which is quoted.

    `pg_dump` leaves functions out where it is told which tables to dump.
    """
    made = []
    for migration in migrations.known(DIALECT):
        for function in migration.sql.split(_FUNCTION)[1:]:
            head, body, _ = function.split(_QUOTE, 2)
            made.append(f"CREATE OR REPLACE FUNCTION {schema}.{head}{_QUOTE}{body}{_QUOTE};\n")
    return "".join(made)


def _replay(url: str, backup: Path, first: str, last: str) -> None:
    """Run *first*, the statements of *backup*, and *last*, in one transaction.

    Raises `Unsuitable` if that fails; nothing was changed then.
    """
    place, environment = without_password(url)
    read = ["--no-owner", "--no-privileges", "--file=-", str(backup)]
    write = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--no-password"]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answered:
        with (
            _started("pg_restore", read, {}, out=subprocess.PIPE, said=said) as source,
            _started(
                *("psql", [*write, f"--dbname={place}"], environment),
                into=subprocess.PIPE, out=answered, said=said,
            ) as target,
        ):  # fmt: skip
            assert source.stdout is not None
            assert target.stdin is not None
            with suppress(BrokenPipeError), target.stdin as script:
                script.write(f"BEGIN;\n{first}".encode())
                shutil.copyfileobj(source.stdout, script)
                # Without a COMMIT, the server rolls everything back at the end of the input.
                if source.wait() == 0:
                    script.write(last.encode() + b"COMMIT;\n")
            source.stdout.close()
        if source.returncode or target.returncode:
            raise Unsuitable(f"It could not be restored: {_read(said)}", "nothing was changed")


async def _find_former(url: str, *, replace: bool) -> list[str]:
    """The existing tables of Tocsin, to be dropped: with their schema, quoted.

    Raises `Unsuitable` if nodes are connected, `FileExistsError` if the tables are not to be
    replaced.
    """
    async with connected(url) as connection:
        if nodes := await nodes_connected(connection):
            raise Unsuitable(f"{nodes} connections of nodes are open to it", "stop the nodes first")
        if (there := await tables_there(connection)) and not replace:
            raise FileExistsError(f"it has tables of Tocsin ({', '.join(there[:3])}, …)")
        return await _places(connection)


async def _places(connection: Connection) -> list[str]:
    """The existing tables of Tocsin, with their schema, quoted."""
    places = await connection.fetch(
        "SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class"
        " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE pg_class.oid = ANY (SELECT to_regclass(quote_ident(name))"
        " FROM unnest($1::text[]) AS name)",
        [MIGRATIONS, *TABLES],
    )
    return [row[0] for row in places]


async def _survey(url: str) -> tuple[Contents, list[str]]:
    """The contents of the database, and its tables as `pg_dump --table` wants them named."""
    async with connected(url) as connection:
        if MIGRATIONS not in await tables_there(connection):
            raise Unsuitable("It has no tables of Tocsin", "see that `database` is right")
        applied, schema = await read_applied(connection)
        try:
            migrations.missing(DIALECT, applied, schema)
        except StoreFailed as error:
            raise Unsuitable(str(error), "use that release of Tocsin") from error
        epoch = await connection.fetchval("SELECT value FROM meta WHERE name = 'epoch'")
        users = await connection.fetchval("SELECT count(*) FROM users")
        notifications = await connection.fetchval("SELECT count(*) FROM notifications")
        return Contents(epoch or "", users, notifications, 0), await _places(connection)


async def read_applied(connection: Connection) -> tuple[dict[int, str], str | None]:
    """The applied migrations (number → checksum), and the database's record of newer ones."""
    applied = {row[0]: row[1] for row in await connection.fetch(migrations.READ_APPLIED)}
    return applied, await connection.fetchval(migrations.READ_SCHEMA) if applied else None


def _check(backup: Path) -> str:
    """Read the whole of *backup* to check it; the schema of its tables, quoted.

    Raises `Unsuitable` if it is damaged or has no tables of Tocsin.
    """
    listed = _run("pg_restore", ["--list", str(backup)], {})
    found = _META.search(listed)
    if found is None:
        raise Unsuitable("It has no tables of Tocsin", "use a file that `backup` has made")
    _run("pg_restore", ["--file=/dev/null", str(backup)], {})
    return '"' + found[1].replace('"', '""') + '"'


def _run(program: str, arguments: list[str], environment: dict[str, str]) -> str:
    """Run *program* to its end; its standard output. Raises `Unsuitable` if it fails."""
    with (
        tempfile.TemporaryFile() as said,
        _started(program, arguments, environment, out=subprocess.PIPE, said=said) as process,
    ):
        answer, _ = process.communicate()
        if process.returncode:
            raise Unsuitable(f"{program} failed: {_read(said)}", "see the message of Postgres")
    return str(answer, errors="replace")


def _started(
    program: str,
    arguments: list[str],
    environment: dict[str, str],
    *,
    out: int | IO[bytes],
    said: IO[bytes],
    into: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    if shutil.which(program) is None:
        raise Unsuitable(
            f"{program} is not on this machine's PATH",
            "install Postgres' client programs (Debian: postgresql-client), of the server's"
            " version or a newer one",
        )
    quiet = {"PGOPTIONS": f"{os.environ.get('PGOPTIONS', '')} -c client_min_messages=warning"}
    return subprocess.Popen(
        [program, *arguments],
        env={**os.environ, **quiet, **environment},
        stdin=into,
        stdout=out,
        stderr=said,
    )


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    text = said.read(_SAID_MAX).decode(errors="replace")
    return " ".join(text.split()) or "it did not say why"
