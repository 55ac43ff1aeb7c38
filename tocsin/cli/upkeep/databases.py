"""Shared by the commands that work on a whole database: its settings, its name, its troubles."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from socket import gaierror

from tocsin.cli.trouble import Trouble
from tocsin.persistence.upkeep.tables import Contents, Unsuitable
from tocsin.settings import Settings
from tocsin.settings.kinds import DATABASE
from tocsin.settings.sources import Flags, load_settings


def settings_and_name(flags: Flags) -> tuple[Settings, str]:
    """The settings, and how the database may be named to people."""
    settings = load_settings(flags, os.environ)
    return settings, DATABASE.show(settings.database_url)


@contextmanager
def troubles(
    what: str, where: str, *, exists: str = "name another one: none is ever replaced"
) -> Iterator[None]:
    """Turn errors of the block into a `Trouble`: *what* did not happen, and *where*.

    *exists* is the remedy where a file or database is there that should not be.
    """
    try:
        yield
    except Unsuitable as error:
        raise Trouble(f"{what}: {error}", error.remedy, where) from None
    except FileExistsError as error:
        raise Trouble(f"{what}: {error}", exists, where) from None
    except (ConnectionError, TimeoutError, gaierror) as error:
        remedy = "see that Postgres runs and that `database` is right, and repeat"
        raise Trouble(f"{what}: {error}", remedy, where) from None
    except (OSError, sqlite3.Error) as error:
        remedy = "see that there is room, and that this user may read and write there"
        raise Trouble(f"{what}: {error}", remedy, where) from None
    except Exception as error:
        if not _is_of_postgres(error):
            raise
        raise Trouble(f"{what}: {error}", "see the message of Postgres", where) from None


def summary(contents: Contents) -> str:
    """The last line of a command's output."""
    return (
        f"{contents.users} users, {contents.notifications} notifications, epoch {contents.epoch},"
        f" {size(contents.bytes)}"
    )


def size(count: int) -> str:
    """*count* bytes for people."""
    number = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def _is_of_postgres(error: Exception) -> bool:
    # Not imported if it is not there: a SQLite file needs neither asyncpg nor asyncio.
    if find_spec("asyncpg") is None:
        return False
    import asyncpg

    return isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError)
