"""The store for commands that need no server: opened, used and closed in one run."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, TypeVar

import trio

from tocsin.actors.world import real_world
from tocsin.cli.options import Flags, load_settings
from tocsin.cli.trouble import Trouble
from tocsin.kinds import DATABASE
from tocsin.persistence.store import Store, StoreFailed, StoreUnavailable
from tocsin.settings import Settings
from tocsin.wiring import make_store

T = TypeVar("T")

STORE_SETTINGS: Final = ("data", "database")


def run_with_store(flags: Flags, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run *work* with the store of these settings, not yet opened. Raises `Trouble`."""
    settings = load_settings(flags, os.environ)
    try:
        return trio.run(_run, replace(settings, pool_size=1), work)
    except StoreUnavailable as error:
        remedy = "see that it runs and that `database` and `data` are right, and repeat"
        raise Trouble(f"The store cannot be used now: {error}", remedy, _name(settings)) from None
    except StoreFailed as error:
        # Also what a newer Tocsin or somebody's hand has made of it; the text says what to do.
        remedy = "see the message; nothing was changed"
        raise Trouble(f"The store refused: {error}", remedy, _name(settings)) from None


def _name(settings: Settings) -> str:
    return DATABASE.show(settings.database_url)


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
