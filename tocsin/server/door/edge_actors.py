"""The edges as actors of the tree: the HTTP host, and the front door before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from hypercorn.typing import ASGIFramework

from tocsin.actors.delivery.connections import Connections
from tocsin.actors.runtime import Actor, Context
from tocsin.server.door.front_door import FrontDoor
from tocsin.server.http.application import Application, Turned
from tocsin.server.http.connection import Upgrade
from tocsin.server.http.host import HttpHost
from tocsin.server.http.limits import HttpLimits


class HttpActor(Actor[Any]):
    """Runs the application; when stopped, lets requests in progress finish within *grace* s."""

    def __init__(
        self, application: Application, app: ASGIFramework, limits: HttpLimits, *, grace: float
    ) -> None:
        self._application = application
        self._app = app
        self._limits = limits
        self._grace = grace
        self._host: HttpHost | None = None

    async def run(self, context: Context[Any]) -> None:
        """Serve until stopped."""
        async with trio.open_nursery() as nursery:
            self._host = HttpHost(self._application, self._app, limits=self._limits)
            await nursery.start(self._host.run)
            await super().run(context)
            await self._host.stop(self._grace)

    def begin_drain(self) -> None:
        """Take no new requests on the connections that are open."""
        if self._host is not None:
            self._host.begin_drain()

    async def serve(
        self, stream: trio.SocketStream, address: str, turned: Turned | None
    ) -> Upgrade | None:
        """Serve one connection until it ends, or is to become a WebSocket."""
        assert self._host is not None, "the front door opens after the host has started"
        return await self._host.serve(stream, address, turned)


class FrontDoorActor(Actor[Any]):
    """Accepts sockets and makes each a connection actor; closes its listeners when stopped.

    *opened* is told the port that it listens on.
    """

    def __init__(
        self,
        door: FrontDoor,
        connections: Connections,
        hosts: Sequence[str],
        port: int,
        opened: Callable[[int], None],
    ) -> None:
        self._door = door
        self._connections = connections
        self._hosts = hosts
        self._port = port
        self._opened = opened

    async def run(self, context: Context[Any]) -> None:
        """Accept until stopped; raises `CannotListen`."""
        listeners = await self._door.open(self._hosts, self._port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._door.accept, listeners, self._start)
            self._opened(listeners[0].socket.getsockname()[1])
            await super().run(context)
            nursery.cancel_scope.cancel()

    def _start(self, stream: trio.SocketStream, address: str) -> None:
        self._connections.start(partial(self._door.handle, stream, address))
