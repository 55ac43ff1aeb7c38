"""`tocsin migrate`: bring the database up to date, or say what that would take."""

from __future__ import annotations

import os

import click

from tocsin.cli.locks import refuse, running_server
from tocsin.cli.options import subset
from tocsin.cli.trouble import Trouble, program
from tocsin.cli.upkeep.stores import STORE_SETTINGS, Migrated, run_with_store
from tocsin.persistence.migrations import Migration
from tocsin.persistence.store import Store
from tocsin.settings.sources import Flags, load_settings


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: list what is missing; exit 1 if any.")
@subset(*STORE_SETTINGS)
def migrate(check: bool, flags: Flags) -> None:
    """Apply the migrations that the database lacks.

    The server does so by itself when it starts; this is for doing it beforehand, and for looking.
    A database that does not exist yet is made (SQLite) or filled with tables (Postgres).

    Nodes of the release before go on meanwhile, unless it says "stop older nodes first".
    """
    database = load_settings(flags, os.environ).sqlite_path

    async def work(store: Store) -> list[Migration]:
        assert isinstance(store, Migrated)
        pending = await store.pending()
        if not check:
            if (
                database is not None
                and _stops_older(pending)
                and (found := running_server(database))
            ):
                raise refuse(found)
            await store.open()
        return pending

    pending = run_with_store(flags, work)
    if not pending:
        click.echo("The database is up to date.")
        return
    older = _stops_older(pending)
    for migration in pending:
        note = " (stop older nodes first)" if check and migration in older else ""
        click.echo(f"{'missing' if check else 'applied'}  {migration}{note}")
    if check:
        count = "1 migration is" if len(pending) == 1 else f"{len(pending)} migrations are"
        first = "stop the nodes of older releases, and then " if older else ""
        raise Trouble(f"{count} missing", f"{first}{program()} migrate")


def _stops_older(pending: list[Migration]) -> list[Migration]:
    """The *pending* migrations that nodes of the present release do not survive."""
    if not pending or pending[0].number == 1:  # an empty database has no users yet
        return []
    newest = pending[0].number - 1
    return [each for each in pending if each.works_with > newest]
