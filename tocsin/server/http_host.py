"""An ASGI application on Hypercorn, as one more part of our own supervision tree.

Hypercorn's own `serve` wants to own the process: the listener, the signals, the exit. We want none
of that, only its way of serving one connection, so this host does what remains: the application's
lifespan, the set of open connections, and an end that takes no longer than it was given.

    run ── lifespan startup ── started ──────── wait for stop ────── lifespan shutdown
    serve(stream, prefix) … one per connection, in the caller's task
    begin_drain() ── no new requests; connections close after the answer in progress
    stop(grace) ──── begin_drain, wait for `grace` seconds, kill the rest, end run
"""

import logging
from collections.abc import Callable
from secrets import token_hex
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import ASGIFramework
from hypercorn.utils import wrap_app

from tocsin.server.bounded_http import BoundedTCPServer, HttpLimits
from tocsin.server.lifespan import Lifespan, LifespanFailed
from tocsin.server.linger import read_to_end
from tocsin.server.request_head import BadHead, problem_response

__all__ = ["HttpHost", "HttpLimits", "LifespanFailed"]

logger = logging.getLogger(__name__)

DEFAULT_LIMITS: Final = HttpLimits()
STARTUP_TIMEOUT: Final = 30.0
SHUTDOWN_TIMEOUT: Final = 10.0
RETRY_AFTER: Final = 5  # seconds; another node, or this one again, is there by then
_KILL_TIMEOUT: Final = 1.0  # a killed connection unwinds at once, unless the application shields


class HttpHost:
    """Serves `app` on streams that others have accepted.

    All limits are in `limits`. Errors of the application and of Hypercorn are logged by the logger
    of this module; there is no access log.
    """

    def __init__(
        self,
        app: ASGIFramework,
        *,
        limits: HttpLimits = DEFAULT_LIMITS,
        startup_timeout: float = STARTUP_TIMEOUT,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        retry_after: int = RETRY_AFTER,
        new_request_id: Callable[[], str] = lambda: token_hex(8),
    ) -> None:
        self._app = wrap_app(app, 0, "asgi")
        self._limits = limits
        self._retry_after = retry_after
        self._new_request_id = new_request_id
        self._config = _config(limits)
        self._context = WorkerContext(None)
        self._context.terminated = self._draining = EventWrapper()
        self._lifespan = Lifespan(app, startup_timeout, shutdown_timeout)
        self._connections: set[BoundedTCPServer] = set()
        self._serving = False
        self._stop_asked = trio.Event()
        self._stopped = trio.Event()
        self._emptied = trio.Event()

    @property
    def connection_count(self) -> int:
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
                except LifespanFailed as exc:  # raised below, where no nursery wraps it
                    failure = exc
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

    async def serve(self, stream: trio.SocketStream, prefix: bytes = b"") -> None:
        """Serve one connection to its end, and close it. `prefix` was read from it before.

        Answers 503 when draining or not running. Raises what Hypercorn's bugs raise, possibly as an
        exception group; errors of the application are answered and logged. Cancelling closes at
        once.
        """
        if not self._serving or self._draining.is_set():
            await self._refuse(stream)
            return
        connection = BoundedTCPServer(
            self._app,
            self._config,
            self._context,
            stream,
            prefix=prefix,
            limits=self._limits,
            new_request_id=self._new_request_id,
        )
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._emptied.set()

    def begin_drain(self) -> None:
        """Take no new requests. Idle connections close, others after the answer in progress, which
        says `Connection: close`."""
        # The wrapper's own set() is async for the sake of asyncio; on Trio it never waits.
        self._draining._event.set()

    async def stop(self, grace: float) -> None:
        """Drain for at most `grace` seconds, kill the rest, shut the application down.

        Returns when `run` has ended. Cancelling leaves the host draining; call it again.
        """
        self.begin_drain()
        with trio.move_on_after(grace):
            await self._wait_empty()
        self._kill_all()
        with trio.move_on_after(_KILL_TIMEOUT):
            await self._wait_empty()
        if self._connections:
            logger.error("%d HTTP connections do not end", len(self._connections))
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
            logger.warning("ending %d HTTP connections in progress", len(self._connections))
        for connection in tuple(self._connections):
            connection.kill()

    async def _refuse(self, stream: trio.SocketStream) -> None:
        unavailable = BadHead(
            503,
            "This node is stopping, or has not started yet.",
            headers=(("Retry-After", str(self._retry_after)),),
        )
        answer = problem_response(
            unavailable, request_id=self._new_request_id(), type_base=self._limits.type_base
        )
        try:
            with trio.move_on_after(self._limits.linger_timeout):
                await stream.send_all(answer)
                await read_to_end(stream.socket, timeout=self._limits.linger_timeout)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            stream.socket.close()


def _config(limits: HttpLimits) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logger
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.head_bytes_max
    config.keep_alive_timeout = limits.keep_alive_timeout
    config.keep_alive_max_requests = limits.keep_alive_requests_max
    return config
