"""The application on the lane of Quart, which the first request on it makes.

Quart, with Flask, Werkzeug and Jinja behind it, is a fifth of what a node would load at its start.
Many nodes never need it: the operations that come by the thousand are answered without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import trio

from tocsin.server.api.operation import Operation
from tocsin.server.http.application import About
from tocsin.server.http.response import Whole
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

_Receive: TypeAlias = Callable[[], Awaitable[Any]]
_Send: TypeAlias = Callable[[Any], Awaitable[None]]
_App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class LateApp:
    """An ASGI application; see the module. The arguments are those of `make_quart_app`."""

    def __init__(
        self,
        operations: Iterable[Operation],
        services: Services,
        publishing: Publishing,
        refusal: Callable[[Exception, About], Whole],
    ) -> None:
        self._parts = (operations, services, publishing, refusal)
        self._making = trio.Lock()
        self._app: _App | None = None

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        """Serve what *scope* says. Cancelling abandons the request, and not the application."""
        if scope["type"] == "lifespan":
            await _converse(receive, send)
            return
        if self._app is None:
            async with self._making:
                if self._app is None:
                    self._app = await trio.to_thread.run_sync(self._make)
        await self._app(scope, receive, send)

    def _make(self) -> _App:
        # In a thread: the import takes a tenth of a second, for which no other request waits.
        from tocsin.server.api.quart_app import make_quart_app

        return make_quart_app(*self._parts)


async def _converse(receive: _Receive, send: _Send) -> None:
    """The lifespan of an application that has nothing to start, and nothing to shut down."""
    for event in ("lifespan.startup", "lifespan.shutdown"):
        await receive()
        await send({"type": f"{event}.complete"})
