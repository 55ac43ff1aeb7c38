"""Backups of a SQLite database: one file, of one moment, made while a server writes.

The functions block: they are for commands, not for the server.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from tocsin.persistence import migrations
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.upkeep.files import own_like, whole_file
from tocsin.persistence.upkeep.tables import Contents, Unsuitable

DIALECT: Final = "sqlite"
MAGIC: Final = b"SQLite format 3\x00"
"""The first bytes of a database file."""
BUSY_TIMEOUT: Final = 60.0
"""Seconds to wait for a transaction of the server that is under way."""


def back_up(database: Path, target: Path) -> Contents:
    """Copy *database* as it is now into the new file *target*, and check it.

    Raises `Unsuitable`, `OSError` or `sqlite3.Error`; then there is no *target*.
    """
    if not database.exists():
        raise Unsuitable("There is no database", "see that `data` and `database` are right")
    with whole_file(target) as partial:
        with _opened(database) as source:
            copy_into(source, partial)
        return check(partial)


def check(path: Path) -> Contents:
    """Check that *path* is a sound database of Tocsin that this program can use; its contents.

    Raises `Unsuitable` if it is not.
    """
    try:
        with _opened(path, still=True) as connection:
            [found] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise Unsuitable(f"It is damaged: {found}", "use another backup")
            applied, schema = read_applied(connection)
            migrations.missing(DIALECT, applied, schema)
            return read_contents(connection, path)
    except StoreFailed as error:
        raise Unsuitable(str(error), "use that release of Tocsin") from error
    except sqlite3.DatabaseError as error:
        wrong = f"It is no database of Tocsin: {error}"
        raise Unsuitable(wrong, "use a file that `backup` has made") from error


def restore(
    backup: Path, database: Path, entropy: Callable[[int], bytes], *, replace: bool
) -> tuple[Contents, Path | None]:
    """Make *database* a copy of *backup*, with a new epoch from *entropy* (random bytes).

    Returns the contents, and the path at which the former file is kept. No process may be using the
    database. Raises as `back_up`, and `FileExistsError` if it exists and is not to be replaced.
    """
    check(backup)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole_file(database, replace=replace) as partial:
        with _opened(backup, still=True) as source:
            copy_into(source, partial)
        with _opened(partial) as connection, connection:
            renew_epoch(connection, entropy)
        contents = check(partial)
        own_like(partial, database if database.exists() else database.parent)
        kept = _set_aside(database) if database.exists() else None
    return contents, kept


def copy_into(source: sqlite3.Connection, target: Path) -> None:
    """Copy the database that *source* sees now into *target*, one file without `-wal` or `-shm`."""
    with closing(sqlite3.connect(target)) as copy:
        # All pages in one step. In several steps, a server that writes meanwhile would make the
        # copy begin again each time.
        source.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode = DELETE")


def renew_epoch(connection: sqlite3.Connection, entropy: Callable[[int], bytes]) -> None:
    """Give the database a new epoch, which voids all cursors: the sequences that were given out
    after the backup will be given out again, for other entries.
    """
    epoch = migrations.epoch_from(entropy(migrations.EPOCH_LENGTH))
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('epoch', ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (epoch,),
    )


def read_applied(connection: sqlite3.Connection) -> tuple[dict[int, str], str | None]:
    """The applied migrations (number → checksum), and the database's record of newer ones.

    Raises `Unsuitable` if the database has no tables of Tocsin.
    """
    applied = dict(connection.execute(migrations.READ_APPLIED))
    if 1 not in applied:
        raise Unsuitable("It has no tables of Tocsin", "use a file that `backup` has made")
    said = connection.execute(migrations.READ_SCHEMA).fetchone()
    return applied, said and said[0]


def read_contents(connection: sqlite3.Connection, path: Path) -> Contents:
    """The contents of the database of *connection*, which is the file *path*."""
    [epoch] = connection.execute(
        "SELECT coalesce((SELECT value FROM meta WHERE name = 'epoch'), '')"
    ).fetchone()
    [users] = connection.execute("SELECT count(*) FROM users").fetchone()
    [notifications] = connection.execute("SELECT count(*) FROM notifications").fetchone()
    return Contents(epoch, users, notifications, path.stat().st_size)


def _set_aside(database: Path) -> Path:
    """Give the former file a second name, with all its data; the first stays until it is replaced.

    Returns the second name.
    """
    with suppress(sqlite3.Error), _opened(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    kept = database.with_name(f"{database.name}.before-{stamp}-{token_hex(2)}")
    os.link(database, kept)
    # A database that could not be opened still has these files. SQLite would take them for the new
    # database's.
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{database}{suffix}", f"{kept}{suffix}")
    return kept


@contextmanager
def _opened(path: Path, *, still: bool = False) -> Iterator[sqlite3.Connection]:
    """Connect to the file *path*. One that is *still* is in use by no process: it is opened without
    locks, because it may be on a read-only medium.
    """
    how = "mode=rw"
    if still and not any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal")):
        how = "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{how}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT)) as connection:
        yield connection
