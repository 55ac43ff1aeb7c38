"""The store for commands that need no server: opened, used and closed in one run.

Only `serve` and `migrate` change the tables of a database: a command that looks, of a newer
release, beside a running server of an older one, would change them under its feet.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, Protocol, TypeVar, runtime_checkable

import trio

from tocsin.actors.world import real_world
from tocsin.cli.trouble import Trouble, program
from tocsin.logs import configured
from tocsin.persistence.migrations import Migration
from tocsin.persistence.store import Store, StoreFailed, StoreUnavailable
from tocsin.settings import Settings
from tocsin.settings.kinds import DATABASE
from tocsin.settings.sources import Flags, load_settings
from tocsin.stores import make_store

T = TypeVar("T")

STORE_SETTINGS: Final = ("data", "database")


@runtime_checkable
class Migrated(Protocol):
    """The stores that a setting can name, which offer more than the port."""

    async def pending(self) -> list[Migration]:
        """The migrations that `open` would apply; changes nothing, cancelled or not."""


class NotMigrated(StoreFailed):
    """The database lacks these migrations, and whoever wants to use it is not to apply them."""

    def __init__(self, pending: list[Migration]) -> None:
        super().__init__(f"{pending[0]} is missing")
        self.pending = pending


async def open_as_it_is(store: Store) -> None:
    """Open *store*, but neither make nor change its tables. Raises `NotMigrated`."""
    assert isinstance(store, Migrated)
    if pending := await store.pending():
        raise NotMigrated(pending)
    await store.open()  # there is nothing for it to apply


def run_with_store(flags: Flags, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run *work* with the store of these settings, not yet opened. Raises `Trouble`."""
    return run_with(load_settings(flags, os.environ), work)


def open_store(settings: Settings) -> None:
    """Make the database of *settings*, or bring it up to date. Raises `Trouble`."""
    run_with(settings, lambda store: store.open())


def run_with(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """As `run_with_store`, with *settings* that were loaded already."""
    try:
        with configured(settings.log_format, settings.log_level):
            return trio.run(_run, replace(settings, pool_size=1), work)
    except NotMigrated as error:
        raise not_migrated(error.pending, _name(settings)) from None
    except StoreUnavailable as error:
        remedy = "see that it runs and that `database` and `data` are right, and repeat"
        raise Trouble(f"The store cannot be used now: {error}", remedy, _name(settings)) from None
    except StoreFailed as error:
        # Also a database of a newer Tocsin, or one changed by hand; the text says what to do.
        remedy = "see the message; nothing was changed"
        raise Trouble(f"The store refused: {error}", remedy, _name(settings)) from None


def not_migrated(pending: list[Migration], where: str) -> Trouble:
    """The trouble of a person whose database, *where*, lacks migrations: which, and the remedy."""
    first, more = pending[0], len(pending) - 1
    if first.number == 1:
        wrong = "There is no database of Tocsin yet"
        remedy = (
            f"start the server, which makes it ({program()} serve), or {program()} migrate; "
            "or name its data directory with --data"
        )
        return Trouble(wrong, remedy, where)
    rest = f" and {more} more" if more else ""
    return Trouble(
        f"The database is of an older release: migration {first} is missing{rest}",
        f"use the {program()} of the release that serves; or upgrade the server, which applies"
        f" them as it starts; or {program()} migrate (--check shows what it would do)",
        where,
    )


def _name(settings: Settings) -> str:
    # Absolute: a person in the wrong directory has to see which one was meant.
    path = settings.sqlite_path
    return DATABASE.show(settings.database_url) if path is None else f"sqlite:///{path.absolute()}"


async def _run(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    answers: list[T] = []
    troubles: list[StoreUnavailable | StoreFailed] = []
    async with AsyncExitStack() as stack:
        if settings.sqlite_path is None:
            # Imported only when wanted, like the adapter.
            from tocsin.persistence.asyncio_loop import open_asyncio_loop

            await stack.enter_async_context(open_asyncio_loop())
        store = make_store(settings, real_world())
        stack.push_async_callback(store.aclose)
        try:
            answers.append(await work(store))
        except (StoreUnavailable, StoreFailed) as error:
            # Carried out by hand: the loop's nurseries would wrap it in groups.
            troubles.append(error)
    for trouble in troubles:
        raise trouble
    return answers[0]
