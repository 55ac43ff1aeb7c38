"""`tocsin vacuum`: deleted rows leave room in the database; give it back to the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import click

from tocsin.cli.locks import alone
from tocsin.cli.options import subset
from tocsin.cli.upkeep.databases import settings_and_name, size, troubles
from tocsin.cli.upkeep.stores import STORE_SETTINGS
from tocsin.persistence.upkeep.tables import Unsuitable
from tocsin.settings.sources import Flags


@click.command()
@click.option(
    "--full", is_flag=True, help="Postgres: rebuild the tables. Nodes have to be stopped."
)
@subset(*STORE_SETTINGS)
def vacuum(full: bool, flags: Flags) -> None:
    """Give the disk back what the database does not use any more.

    The room of what was deleted is used again in any case: this is for when much was deleted for
    good. SQLite's file is rebuilt, for which the server has to be stopped and twice its size has to
    be free on the disk. Postgres' tables are looked through while nodes run, which gives back
    little; with --full they are rebuilt one by one.
    """
    settings, where = settings_and_name(flags)
    path = settings.sqlite_path
    with troubles("Nothing was rebuilt", where):
        if path is not None:
            if full:
                raise click.UsageError("--full is for Postgres: a SQLite file is always rebuilt.")
            before, after = _rebuild(Path(os.path.realpath(path)))
        else:
            from tocsin.persistence.postgres import hands as postgres_hands

            before, after = asyncio.run(postgres_hands.vacuum(settings.database_url, full=full))
    click.echo(f"{size(before)} before, {size(after)} now")


def _rebuild(path: Path) -> tuple[int, int]:
    from tocsin.persistence.sqlite import hands as sqlite_hands

    if not path.exists():
        raise Unsuitable("There is no database", "see that `data` and `database` are right")
    needed, free = 2 * path.stat().st_size, shutil.disk_usage(path.parent).free
    if free < needed:
        raise Unsuitable(f"{size(needed)} have to be free, and {size(free)} are", "make room")
    # Where the room was looked for; SQLite itself would take the system's directory.
    os.environ.setdefault("SQLITE_TMPDIR", str(path.parent))
    with alone(path, "vacuum"):
        return sqlite_hands.vacuum(path)
