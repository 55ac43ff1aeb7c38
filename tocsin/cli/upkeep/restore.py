"""`tocsin restore`: make the database what a backup holds, in an epoch of its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tocsin.cli.locks import alone
from tocsin.cli.options import subset
from tocsin.cli.trouble import Trouble, program
from tocsin.cli.upkeep.databases import settings_and_name, summary, troubles
from tocsin.cli.upkeep.stores import STORE_SETTINGS
from tocsin.persistence.upkeep.tables import Contents
from tocsin.settings.sources import Flags


@click.command()
@click.argument(
    "backup", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--replace", is_flag=True, help="Also where there is a database already.")
@subset(*STORE_SETTINGS)
def restore(backup: Path, replace: bool, flags: Flags) -> None:
    """Make the database what FILE, made by `tocsin backup`, holds. Servers have to be stopped.

    It gets a new epoch: devices that come back with a cursor from after the backup are told `reset`
    and start over, instead of missing what now stands behind it. All of it happens or nothing. A
    SQLite database that was there is kept beside it; the tables of a Postgres one are dropped.
    """
    settings, where = settings_and_name(flags)
    database = settings.sqlite_path
    meant = (
        "give --replace if that is meant (a SQLite file is kept beside it, Postgres' tables not)"
    )
    with troubles("Nothing was restored", where, exists=meant):
        kept: Path | None
        contents: Contents
        if database is not None:
            from tocsin.persistence.sqlite import backup as sqlite_backup

            _expect_kind(backup, sqlite_backup.MAGIC, where)
            database = Path(os.path.realpath(database))
            with alone(database, "restore"):
                contents, kept = sqlite_backup.restore(
                    backup, database, os.urandom, replace=replace
                )
        else:
            from tocsin.persistence.postgres import backup as postgres_backup

            _expect_kind(backup, postgres_backup.MAGIC, where)
            contents, kept = postgres_backup.restore(
                settings.database_url, backup, os.urandom, replace=replace
            )
    if kept is not None:
        click.echo(f"The former database is kept: {kept}", err=True)
    click.echo(f"Restored: {summary(contents)}")
    click.echo(
        f"API keys that were revoked since the backup work again: see {program()} key list. Users"
        f" that were forgotten since are back: {program()} forget-user.",
        err=True,
    )


def _expect_kind(backup: Path, magic: bytes, where: str) -> None:
    with backup.open("rb") as file:
        found = file.read(len(magic))
    if found != magic:
        raise Trouble(
            f"{backup} is no backup of such a database",
            "give one of the same kind. From SQLite to Postgres: restore it to a SQLite file, and"
            f" then {program()} copy",
            where,
        )
