"""The edges as actors of the tree: the HTTP host, and the front door before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from hypercorn.typing import ASGIFramework

from tocsin.actors.connections import Connections
from tocsin.actors.runtime import Actor, Context
from tocsin.server.front_door import FrontDoor
from tocsin.server.http_host import HttpHost, HttpLimits
from tocsin.server.shared_port import every_host


class HttpActor(Actor[Any]):
    """Runs the application; when stopped, lets requests in progress finish within *grace* s."""

    def __init__(self, app: ASGIFramework, limits: HttpLimits, *, grace: float) -> None:
        self._app = app
        self._limits = limits
        self._grace = grace
        self._host: HttpHost | None = None

    async def run(self, context: Context[Any]) -> None:
        """Serve until stopped."""
        async with trio.open_nursery() as nursery:
            self._host = HttpHost(self._app, limits=self._limits)
            await nursery.start(self._host.run)
            await super().run(context)
            await self._host.stop(self._grace)

    def begin_drain(self) -> None:
        """Take no new requests on the connections that are open."""
        if self._host is not None:
            self._host.begin_drain()

    async def serve(self, stream: trio.SocketStream, raw: bytes) -> None:
        """Serve one connection to its end."""
        assert self._host is not None, "the front door opens after the host has started"
        await self._host.serve(stream, raw)


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
        listeners = await self._listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._door.accept, listeners, self._start)
            self._opened(listeners[0].socket.getsockname()[1])
            await super().run(context)
            nursery.cancel_scope.cancel()

    async def _listen(self) -> list[trio.SocketListener]:
        listeners, port = list[trio.SocketListener](), self._port
        try:
            for host in every_host(self._hosts):
                listeners += await self._door.open(host, port)
                port = listeners[0].socket.getsockname()[1]
        except BaseException:
            for listener in listeners:
                listener.socket.close()
            raise
        return listeners

    def _start(self, stream: trio.SocketStream) -> None:
        self._connections.start(partial(self._door.handle, stream))
