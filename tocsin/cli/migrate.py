"""`tocsin migrate`: bring the database up to date, or say what that would take."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import click

from tocsin.cli.options import Flags, subset
from tocsin.cli.stores import STORE_SETTINGS, run_with_store
from tocsin.cli.trouble import Trouble, program
from tocsin.persistence.migrations import Migration
from tocsin.persistence.store import Store


@runtime_checkable
class Migrated(Protocol):
    """What the stores that a setting can name offer besides the port."""

    async def pending(self) -> list[Migration]:
        """The migrations that `open` would apply; changes nothing."""


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: list what is missing; exit 1 if any.")
@subset(*STORE_SETTINGS)
def migrate(check: bool, flags: Flags) -> None:
    """Apply the migrations that the database lacks.

    The server does so by itself when it starts; this is for doing it beforehand, and for looking.
    A database that does not exist yet is made (SQLite) or filled with tables (Postgres).
    """

    async def work(store: Store) -> list[Migration]:
        assert isinstance(store, Migrated)
        pending = await store.pending()
        if not check:
            await store.open()
        return pending

    pending = run_with_store(flags, work)
    if not pending:
        click.echo("The database is up to date.")
        return
    for migration in pending:
        click.echo(f"{'missing' if check else 'applied'}  {migration}")
    if check:
        count = "1 migration is" if len(pending) == 1 else f"{len(pending)} migrations are"
        raise Trouble(f"{count} missing", f"{program()} migrate")
