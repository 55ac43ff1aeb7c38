"""The state that all HTTP connections of a host share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from tocsin.server.http.application import Application
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.request_reader import GOING_ON_MAX
from tocsin.server.request_head import RequestHead

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

    from tocsin.server.http.asgi_lane import AsgiLane

_REQUEST_ID_LENGTH_MAX: Final = 128
"""Characters of an id given by a proxy; it is on every line of the log. UUIDs have 36."""
_REQUEST_ID: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
_ENTERING_MAX: Final = 2
"""Requests that go to Hypercorn and Quart in one turn of the event loop: each of them takes a
millisecond to begin with. A semaphore is held for a turn, or handed on once in each."""


@dataclass(slots=True)
class Shared:
    """The application and the limits; and *app*, the application on the lane of Quart.

    *draining*, every connection closes behind the answer that it gives.
    """

    application: Application
    limits: HttpLimits
    app: ASGIFramework
    new_request_id: Callable[[], str]
    draining: bool = False
    going_on: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(GOING_ON_MAX))
    entering: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(_ENTERING_MAX))
    _opening: trio.Lock = field(default_factory=trio.Lock)
    _lane: AsgiLane | None = None

    async def lane(self) -> AsgiLane:
        """The lane of Quart, which is opened by the first request on it: Hypercorn is not loaded
        before. Cancelling does no harm."""
        if self._lane is None:
            async with self._opening:
                if self._lane is None:
                    self._lane = await trio.to_thread.run_sync(_open_lane, self.app)
        return self._lane

    def name_request(self, head: RequestHead | None) -> str:
        """The request's id: the client's, if it may stand in a header and a log line."""
        given = None if head is None else head.headers.get("x-request-id")
        if given and len(given) <= _REQUEST_ID_LENGTH_MAX and _REQUEST_ID.issuperset(given):
            return given
        return self.new_request_id()


def _open_lane(app: ASGIFramework) -> AsgiLane:
    # In a thread: the import takes a tenth of a second, for which no other request waits.
    from tocsin.server.http.asgi_lane import open_lane

    return open_lane(app)
