"""Hands on the database of the settings, for commands that work on it as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tocsin.persistence.upkeep.forgetting import Hands
from tocsin.settings import Settings


@asynccontextmanager
async def open_hands(settings: Settings) -> AsyncIterator[Hands]:
    """Hands on the database that *settings* name, which has to exist. Raises what it raises."""
    if settings.sqlite_path is not None:
        from tocsin.persistence.sqlite.hands import sqlite_hands

        with sqlite_hands(settings.sqlite_path) as hands:
            yield hands
    else:
        from tocsin.persistence.postgres.hands import postgres_hands

        async with postgres_hands(settings.database_url) as others:
            yield others
