"""The ASGI lifespan protocol: startup before the first request, shutdown after the last.

Our own thirty lines instead of Hypercorn's, which goes on without an application that failed to
say "failed" in the right words, and raises through the application's own nursery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

logger = structlog.get_logger(__name__)

_OF_STARTUP: Final = ("lifespan.startup.complete", "lifespan.startup.failed")
_OF_SHUTDOWN: Final = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")
_FAILED: Final = ("lifespan.startup.failed", "lifespan.shutdown.failed")


class LifespanFailed(Exception):
    """The application did not start, or not in time. Nothing can be served; the cause is named."""


class Lifespan:
    """One lifespan of *app*: run `converse` in a task, and `start` and `shut_down` beside it.

    Time-outs are seconds. Cancel the task when done: an application need not end by itself.
    """

    def __init__(self, app: ASGIFramework, startup_timeout: float, shutdown_timeout: float) -> None:
        self._app = app
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self._to_app, self._app_receives = trio.open_memory_channel[dict[str, Any]](2)
        self._started = trio.Event()
        self._ended = trio.Event()
        self._failure: str | None = None

    async def start(self) -> None:
        """Wait until the application has started. Raises `LifespanFailed`."""
        self._to_app.send_nowait({"type": "lifespan.startup"})
        with trio.move_on_after(self._startup_timeout) as scope:
            await self._started.wait()
        if scope.cancelled_caught:
            raise LifespanFailed(
                f"the application did not start within {self._startup_timeout:g} s"
            )
        if self._failure is not None:
            raise LifespanFailed(f"the application did not start: {self._failure}")

    async def shut_down(self) -> None:
        """Wait until the application has shut down. A failure is only logged: it must not keep a
        node from ending."""
        self._to_app.send_nowait({"type": "lifespan.shutdown"})
        with trio.move_on_after(self._shutdown_timeout) as scope:
            await self._ended.wait()
        if scope.cancelled_caught:
            logger.error("application shutdown too slow", seconds=self._shutdown_timeout)
        elif self._failure is not None:
            logger.error("application shutdown failed", error=self._failure)

    async def converse(self) -> None:
        """Run the application's side. Raises nothing; what it raises is `start`'s to tell."""
        scope = {"type": "lifespan", "asgi": {"spec_version": "2.0", "version": "3.0"}, "state": {}}
        try:
            await self._app(scope, self._app_receives.receive, self._hear)  # type: ignore[arg-type]
        except Exception as error:
            if self._started.is_set():
                logger.error("application lifespan failed", exc_info=error)
            self._failure = self._failure or repr(error)
        finally:
            self._started.set()
            self._ended.set()

    async def _hear(self, message: Any) -> None:
        type_ = message["type"]
        if type_ in _FAILED:
            self._failure = str(message.get("message", ""))
        if type_ in _OF_STARTUP:
            self._started.set()
        elif type_ in _OF_SHUTDOWN:
            self._ended.set()
        await trio.lowlevel.checkpoint()
