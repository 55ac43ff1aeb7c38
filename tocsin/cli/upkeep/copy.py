"""`tocsin copy`: move to another database, whole, as from SQLite to Postgres."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from tocsin.cli.locks import alone, running_server
from tocsin.cli.options import subset
from tocsin.cli.tables import table
from tocsin.cli.trouble import Trouble
from tocsin.cli.upkeep.databases import troubles
from tocsin.cli.upkeep.stores import STORE_SETTINGS, open_store
from tocsin.persistence.upkeep.copying import Copied, Side, copy_all
from tocsin.persistence.upkeep.files import own_like, whole_file
from tocsin.settings import Settings
from tocsin.settings.kinds import DATABASE
from tocsin.settings.sources import Flags, load_settings


class DatabaseUrl(click.ParamType[str]):
    """A database, as the setting of that name has it."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return DATABASE.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--from", "source", type=DatabaseUrl(), help="The database to copy.")
@click.option("--to", "target", type=DatabaseUrl(), help="The empty one to copy it into.")
@click.option("--running", is_flag=True, help="Also while servers run on the source; see above.")
@subset(*STORE_SETTINGS)
def copy(source: str | None, target: str | None, running: bool, flags: Flags) -> None:
    """Copy a whole database into another, empty one.

    Such as `--from sqlite:////var/lib/tocsin/tocsin.db --to postgres://tocsin@db/tocsin`. Whichever
    is not given is the one of the settings, so that no password has to stand on the command line.
    All tables are copied, in one transaction, read back and compared. The target is made or filled
    with tables if need be; a SQLite file must not be there yet.

    Devices go on with their cursors: the copy has the same epoch. So stop the servers first, and
    start them on the copy alone. With --running, what they take meanwhile is not in the copy, which
    has an epoch of its own then: devices start over.
    """
    settings = load_settings(flags, os.environ)
    if source is None and target is None:
        raise click.UsageError("Give --from or --to, or both.")
    origin, destination = _of(settings, source), _of(settings, target)
    if origin.database_url == destination.database_url:
        raise click.UsageError("Both are the same database.")
    where = f"{DATABASE.show(origin.database_url)} → {DATABASE.show(destination.database_url)}"
    with (
        troubles("Nothing was copied", where),
        _source_kept(origin, running),
        _made(destination) as to,
    ):
        copied = asyncio.run(_copy(origin, to, running))
    rows = [(each.table, str(each.rows), each.digest) for each in copied]
    click.echo(table([("TABLE", "ROWS", "DIGEST"), *rows]))
    click.echo("All of it was read back and is the same.", err=True)


def _of(settings: Settings, database: str | None) -> Settings:
    if database is None:
        return settings
    # The other settings are for servers, and might contradict a database of the other kind.
    return replace(settings, database=database, redis=None, workers=1)


@contextmanager
def _source_kept(origin: Settings, running: bool) -> Iterator[None]:
    """Keep servers from changing a SQLite file meanwhile; nodes on Postgres are looked for
    later."""
    path = origin.sqlite_path
    if path is None:
        yield
        return
    if not path.exists():
        raise Trouble("There is no database to copy", "see that --from is right", str(path))
    if running and running_server(path) is not None:
        yield
        return
    with alone(path, "copy"):
        yield


@contextmanager
def _made(destination: Settings) -> Iterator[Settings]:
    """The target with tables; a SQLite file has another name until all is in it."""
    path = destination.sqlite_path
    if path is None:
        open_store(destination)
        yield destination
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(path, "copy"), whole_file(path) as partial:
        own_like(partial, path.parent)
        made = replace(destination, database=f"sqlite:///{partial}")
        open_store(made)
        yield made


async def _copy(origin: Settings, destination: Settings, running: bool) -> list[Copied]:
    fresh = os.urandom if running else None
    async with (
        _side(origin, writes=False, beside_nodes=running) as source,
        _side(destination, writes=True, beside_nodes=False) as target,
    ):
        return await copy_all(source, target, fresh_epoch=fresh)


@asynccontextmanager
async def _side(settings: Settings, *, writes: bool, beside_nodes: bool) -> AsyncIterator[Side]:
    if settings.sqlite_path is not None:
        from tocsin.persistence.sqlite.side import sqlite_side

        with sqlite_side(Path(settings.sqlite_path), writes=writes) as side:
            yield side
    else:
        from tocsin.persistence.postgres.side import postgres_side

        async with postgres_side(
            settings.database_url, writes=writes, beside_nodes=beside_nodes
        ) as other:
            yield other
