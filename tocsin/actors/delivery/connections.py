"""The connections: one temporary actor for each socket, whatever is spoken on it.

A connection that fails takes nobody with it. The long-lived ones, which have somebody to say
goodbye to, are also known by their outlet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Never

import trio

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.directory import Directory
from tocsin.actors.runtime import Actor, Context

current_connection: ContextVar[str] = ContextVar("connection")
"""The name of the connection that the running task serves."""


class ConnectionActor(Actor[Never]):
    """Runs one connection; it ends when *serve* does, or when it is stopped."""

    __slots__ = ("_connections", "_name", "_serve")

    def __init__(
        self, name: str, serve: Callable[[], Awaitable[None]], connections: Connections
    ) -> None:
        self._name = name
        self._serve = serve
        self._connections = connections

    async def run(self, context: Context[Never]) -> None:
        """Serve the connection; an exception ends it and nothing else."""
        current_connection.set(self._name)
        try:
            await self._serve()
        finally:
            # However it ended: the drainer waits for this.
            self._connections.closed(self._name)


class Connections(Directory[Never]):
    """See the module."""

    def __init__(self) -> None:
        super().__init__(capacity=1)
        self._outlets: dict[str, Outlet] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._next = 0
        self._streams = 0

    def start(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Start a connection, which runs *serve* under a name of its own.

        Raises `ActorStopped` while there is no keeper.
        """
        self._next += 1
        name = str(self._next)
        self._spawn(name, lambda: ConnectionActor(name, serve, self))

    def stream_name(self) -> str:
        """A name for what the running task's connection now carries, one of several in its life."""
        self._streams += 1
        return f"{current_connection.get()}.{self._streams}"

    def opened(self, outlet: Outlet) -> None:
        """Somebody listens on this connection, to whom a stop has to say goodbye."""
        self._outlets[outlet.connection] = outlet

    def closed(self, connection: str) -> None:
        """Goodbye has been said, and heard or given up; again is no harm."""
        if self._outlets.pop(connection, None) is not None:
            self._changed.unpark_all()

    @property
    def outlets(self) -> list[Outlet]:
        """Where there is somebody to say goodbye to."""
        return list(self._outlets.values())

    @property
    def session_count(self) -> int:
        return len(self._outlets)

    async def wait_no_outlets(self) -> None:
        """Wait until every connection with somebody listening has ended."""
        while self._outlets:
            await self._changed.park()
