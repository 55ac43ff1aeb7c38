"""The edges as actors of the tree: the HTTP host, and the front door before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Never

import trio

from tocsin.actors.delivery.connections import Connections
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.server.door.front_door import FrontDoor
from tocsin.server.http.application import Application, Turned
from tocsin.server.http.connection import Upgrade
from tocsin.server.http.host import HttpHost
from tocsin.server.http.limits import HttpLimits

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework


class HttpServing:
    """The HTTP host behind a door: that of the latest incarnation of the door's `HttpActor`.

    One that has ended goes on answering, with a refusal, until the next is there.
    """

    def __init__(self) -> None:
        self._host: HttpHost | None = None
        self._started = trio.Event()

    def started(self, host: HttpHost) -> None:
        """*host* is running, and serves from now on."""
        self._host = host
        self._started.set()

    async def wait_started(self) -> None:
        """Return once there has been a host; cancelling does no harm."""
        await self._started.wait()

    def begin_drain(self) -> None:
        """Take no new requests on the connections that are open."""
        if self._host is not None:
            self._host.begin_drain()

    async def serve(
        self, stream: trio.SocketStream, address: str, turned: Turned | None
    ) -> Upgrade | None:
        """Serve one connection until it ends, or is to become a WebSocket; see `HttpHost.serve`.

        Cancelling closes it at once.
        """
        assert self._host is not None, "the door opens after the host has started"
        return await self._host.serve(stream, address, turned)


class HttpActor(Actor[Never]):
    """Runs a host of the application; when stopped, gives requests in progress *grace* s."""

    def __init__(
        self,
        serving: HttpServing,
        application: Application,
        app: ASGIFramework,
        limits: HttpLimits,
        *,
        grace: float,
    ) -> None:
        self._serving = serving
        self._host = HttpHost(application, app, limits=limits)
        self._grace = grace

    async def run(self, context: Context[Never]) -> None:
        """Serve until stopped. Cancelled, it ends all connections at once."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._host.run)
            self._serving.started(self._host)
            await super().run(context)
            await self._host.stop(self._grace)


class FrontDoorActor(Actor[Never]):
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

    async def run(self, context: Context[Never]) -> None:
        """Accept until stopped; raises `CannotListen`.

        Stopped or cancelled, it closes the listeners and no connection.
        """
        listeners = await self._door.open(self._hosts, self._port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._door.accept, listeners, self._start)
            self._opened(listeners[0].socket.getsockname()[1])
            await super().run(context)
            nursery.cancel_scope.cancel()

    def _start(self, stream: trio.SocketStream, address: str) -> None:
        self._connections.start(partial(self._door.handle, stream, address))
