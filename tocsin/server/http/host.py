"""The host of all HTTP connections: the application, the limits, and an end within its time.

Hypercorn's own `serve` wants to own the process: the listener, the signals, the exit. We want none
of that, only its way of serving one request (`asgi_lane`), so this host does what remains: the
lifespan of the ASGI application, the set of open connections, and an end that takes no longer than
it was given.

    run ── lifespan startup ── started ──────── wait for stop ────── lifespan shutdown
    serve(stream, address) … one per connection, in the caller's task
    begin_drain() ── no new requests; connections close after the answer in progress
    stop(grace) ──── begin_drain, wait for `grace` seconds, kill the rest, end run
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
import trio

from tocsin.server.http.application import Application, Turned
from tocsin.server.http.connection import HttpConnection, Upgrade
from tocsin.server.http.lifespan import Lifespan, LifespanFailed
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.shared import Shared

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

logger = structlog.get_logger(__name__)

DEFAULT_LIMITS: Final = HttpLimits()
STARTUP_TIMEOUT: Final = 30.0
"""Seconds for the application's startup; one that hangs is to be seen as a failure to start."""
SHUTDOWN_TIMEOUT: Final = 10.0
"""Seconds for the application's shutdown; then the node ends without it."""
_KILL_TIMEOUT: Final = 1.0
"""A killed connection unwinds at once, unless the application shields."""


class HttpHost:
    """Serves *application* on streams that others have accepted, and *app* where it says so.

    All limits are in *limits*. Errors of the ASGI application and of Hypercorn are logged by the
    logger of this module.
    """

    def __init__(
        self,
        application: Application,
        app: ASGIFramework,
        *,
        limits: HttpLimits = DEFAULT_LIMITS,
        startup_timeout: float = STARTUP_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        new_request_id: Callable[[], str] | None = None,
    ) -> None:
        self.shared = Shared(application, limits, app, new_request_id or _counting_request_ids())
        self._lifespan = Lifespan(app, startup_timeout, shutdown_timeout)
        self._connections: set[HttpConnection] = set()
        self._serving = False
        self._stop_asked = trio.Event()
        self._stopped = trio.Event()
        self._emptied = trio.Event()

    @property
    def connection_count(self) -> int:
        """Connections that are served now."""
        return len(self._connections)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the application, serve until `stop`, shut the application down.

        Raises `LifespanFailed` if the application does not start. Cancelling kills all connections
        and leaves out the application's shutdown.
        """
        failure: LifespanFailed | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._lifespan.converse)
                try:
                    await self._lifespan.start()
                except LifespanFailed as error:  # raised below, where no nursery wraps it
                    failure = error
                else:
                    self._serving = True
                    task_status.started()
                    await self._stop_asked.wait()
                    await self._lifespan.shut_down()
                nursery.cancel_scope.cancel()
        finally:
            self._serving = False
            self._kill_all()
            self._stopped.set()
        if failure is not None:
            raise failure

    async def serve(
        self, stream: trio.SocketStream, address: str = "", turned: Turned | None = None
    ) -> Upgrade | None:
        """Serve one connection of *address* until it ends, or is to become a WebSocket.

        A connection that is *turned* away gets one answer, as all do when draining or not running.
        Raises what Hypercorn's bugs raise, possibly as an exception group; errors of the
        application are answered and logged. Closes the stream, unless there is an upgrade.
        Cancelling closes at once.
        """
        if not self._serving or self.shared.draining:
            turned = Turned.DRAINING
        connection = HttpConnection(stream, self.shared, address, turned)
        self._connections.add(connection)
        upgrade = None
        try:
            upgrade = await connection.run()
        finally:
            if upgrade is None:
                stream.socket.close()
            self._connections.discard(connection)
            if not self._connections:
                self._emptied.set()
        return upgrade

    def begin_drain(self) -> None:
        """Take no new requests. Idle connections close, others after the answer in progress, which
        says `Connection: close`."""
        self.shared.draining = True
        for connection in tuple(self._connections):
            connection.drain()

    async def stop(self, grace: float) -> None:
        """Drain for at most *grace* seconds, kill the rest, shut the application down.

        Returns when `run` has ended. Cancelling leaves the host draining; call it again.
        """
        self.begin_drain()
        with trio.move_on_after(grace):
            await self._wait_empty()
        self._kill_all()
        with trio.move_on_after(_KILL_TIMEOUT):
            await self._wait_empty()
        if self._connections:
            logger.error("connections do not end", count=self.connection_count)
        self._stop_asked.set()
        if self._serving:
            await self._stopped.wait()

    async def _wait_empty(self) -> None:
        while self._connections:
            self._emptied = trio.Event()
            await self._emptied.wait()
        await trio.lowlevel.checkpoint()

    def _kill_all(self) -> None:
        if self._connections:
            logger.warning("connections ended in progress", count=self.connection_count)
        for connection in tuple(self._connections):
            connection.kill()


def _counting_request_ids() -> Callable[[], str]:
    """Names that no other process gives: what is random is asked for once, and then counted on."""
    prefix, count = os.urandom(4).hex(), itertools.count(int.from_bytes(os.urandom(2)))
    return lambda: f"{prefix}{next(count) & 0xFFFF_FFFF:08x}"
