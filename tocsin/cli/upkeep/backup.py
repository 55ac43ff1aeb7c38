"""`tocsin backup`: the database in a file, made while servers run."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tocsin.cli.options import subset
from tocsin.cli.upkeep.databases import settings_and_name, summary, troubles
from tocsin.cli.upkeep.stores import STORE_SETTINGS
from tocsin.settings import Settings
from tocsin.settings.sources import Flags


@click.command()
@click.argument("target", metavar="FILE|DIRECTORY", type=click.Path(path_type=Path))
@subset(*STORE_SETTINGS)
def backup(target: Path, flags: Flags) -> None:
    """Copy the database, as it is now, into a new FILE; in a DIRECTORY, into one named by the time.

    Servers may run meanwhile. The file is there when it is whole and was read through; it has mode
    0600, since it holds the nodes' secret and what people were told. An existing one is never
    replaced. Postgres needs `pg_dump` and `pg_restore` on this machine.

    The development secret, `jwt-secret` in the data directory, is no part of it.
    """
    settings, where = settings_and_name(flags)
    target = _file(target, settings)
    with troubles("No backup was made", where):
        if settings.sqlite_path is not None:
            from tocsin.persistence.sqlite import backup as sqlite_backup

            contents = sqlite_backup.back_up(settings.sqlite_path, target)
        else:
            from tocsin.persistence.postgres import backup as postgres_backup

            contents = postgres_backup.back_up(settings.database_url, target)
    click.echo(summary(contents), err=True)
    click.echo(str(target))


def _file(target: Path, settings: Settings) -> Path:
    if not target.is_dir():
        return target
    suffix = "dump" if settings.sqlite_path is None else "db"
    return target / f"tocsin-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.{suffix}"
