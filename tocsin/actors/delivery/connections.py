"""The connections: one temporary actor for each socket, whichever protocol it carries.

A connection that fails takes no other with it. A connection with a device on it is also known by
its outlet, because the drainer has to say goodbye to the device.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Never

import trio

from tocsin.actors.delivery.outlet import TRANSPORTS, Outlet, Transport
from tocsin.actors.directory import Directory
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.protocol.closing import Closing

current_connection: ContextVar[str] = ContextVar("connection")
"""The name of the connection that the running task serves."""


class ConnectionActor(Actor[Never]):
    """Runs one connection. It ends when *serve* returns or raises, or when it is stopped."""

    __slots__ = ("_connections", "_name", "_serve")

    def __init__(
        self, name: str, serve: Callable[[], Awaitable[None]], connections: Connections
    ) -> None:
        self._name = name
        self._serve = serve
        self._connections = connections

    async def run(self, context: Context[Never]) -> None:
        """Serve the connection. An exception ends this connection only; so does cancelling."""
        current_connection.set(self._name)
        try:
            await self._serve()
        finally:
            # In any case, even if serving failed: the drainer waits for it.
            self._connections.closed(self._name)


class Connections(Directory[Never]):
    """The directory of connections; see the module."""

    def __init__(self) -> None:
        super().__init__(capacity=1)
        self._outlets: dict[str, Outlet] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._by_transport: dict[Transport, int] = dict.fromkeys(TRANSPORTS, 0)
        self._ends: dict[Closing | None, int] = dict.fromkeys((None, *Closing), 0)
        self._next = 0
        self._streams = 0

    def start(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Start an actor for a connection, which runs *serve* under a name of its own.

        Raises `ActorStopped` while there is no keeper.
        """
        self._next += 1
        name = str(self._next)
        self._spawn(name, lambda: ConnectionActor(name, serve, self))

    def stream_name(self) -> str:
        """A new name for the stream or poll that begins on the running task's connection.

        A connection may carry several of them, one after the other.
        """
        self._streams += 1
        return f"{current_connection.get()}.{self._streams}"

    def opened(self, outlet: Outlet) -> None:
        """Note that a device listens through *outlet*: the drainer has to say goodbye to it."""
        if outlet.connection not in self._outlets:
            self._by_transport[outlet.transport] += 1
        self._outlets[outlet.connection] = outlet

    def closed(self, connection: str) -> None:
        """Note that no device listens on *connection* any more; no effect the second time."""
        if (outlet := self._outlets.pop(connection, None)) is not None:
            self._by_transport[outlet.transport] -= 1
            self._ends[outlet.closing] += 1
            self._changed.unpark_all()

    @property
    def outlets(self) -> list[Outlet]:
        """The outlets of all connections with a device that listens."""
        return list(self._outlets.values())

    @property
    def session_count(self) -> int:
        """How many connections have a device that listens."""
        return len(self._outlets)

    @property
    def sessions_by_transport(self) -> Mapping[Transport, int]:
        """The same by transport."""
        return self._by_transport

    @property
    def ends(self) -> Mapping[Closing | None, int]:
        """How many sessions have ended with each closing; `None`: without one, by the client."""
        return self._ends

    async def wait_no_outlets(self) -> None:
        """Wait until every connection with a device on it has ended. Cancelling does no harm."""
        while self._outlets:
            await self._changed.park()
