"""The connections: one temporary actor for each socket, whatever is spoken on it.

A connection that fails takes nobody with it. The long-lived ones, which have somebody to say
goodbye to, are also known by their outlet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tocsin.actors.directory import Directory
from tocsin.actors.outlet import Outlet
from tocsin.actors.runtime import Actor, Context


class ConnectionActor(Actor[Any]):
    """Runs one connection; it ends when *serve* does, or when it is stopped."""

    __slots__ = ("_serve",)

    def __init__(self, serve: Callable[[], Awaitable[None]]) -> None:
        self._serve = serve

    async def run(self, context: Context[Any]) -> None:
        """Serve the connection; an exception ends it and nothing else."""
        await self._serve()


class Connections(Directory[Any]):
    """See the module."""

    def __init__(self, jitter: Callable[[], float], *, grace: float) -> None:
        super().__init__(jitter, capacity=1, grace=grace)
        self.outlets: dict[str, Outlet] = {}
        self._next = 0

    def start(self, serve: Callable[[str], Awaitable[None]]) -> None:
        """Start a connection; *serve* is called with its name.

        Raises `ActorStopped` while the directory is down.
        """
        self._next += 1
        name = str(self._next)

        async def run() -> None:
            await serve(name)

        self._spawn(name, lambda: ConnectionActor(run))

    async def wait_no_outlets(self) -> None:
        """Wait until every long-lived connection has ended."""
        while self.outlets:
            name = next(iter(self.outlets))
            ref = self.find(name)
            if ref is None:
                self.outlets.pop(name, None)
                await trio.lowlevel.checkpoint()
            else:
                await ref.wait_stopped()
