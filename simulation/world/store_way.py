"""A node's way to a store that other nodes share: a `Store` whose calls can be made to fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import trio

from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.results import Result

S = TypeVar("S", bound=SqliteStore)
T = TypeVar("T")


class StoreWay(Generic[S]):
    """Forwards every call to *store* through `_call`, which a subclass overrides to fail."""

    def __init__(self, store: S) -> None:
        self._store = store

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def secret(self) -> str:
        return self._store.secret

    @property
    def statements_run(self) -> int:
        return self._store.statements_run

    async def open(self) -> None:
        await self._call(self._store.open, writes=False)

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        return await self._call(lambda: self._store.write(commands, hurried=hurried), writes=True)

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        return await self._call(lambda: self._store.read(queries), writes=False)

    async def probe(self) -> None:
        await self._call(self._store.probe, writes=True)

    async def aclose(self) -> None:
        """Leave the store open: the other nodes use it."""
        await trio.lowlevel.checkpoint()

    async def _call(self, work: Callable[[], Awaitable[T]], *, writes: bool) -> T:
        """Do *work*; *writes* says whether it needs a store that takes writes."""
        return await work()
