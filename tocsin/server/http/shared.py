"""The state that all HTTP connections of a host share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper

from tocsin.server.http.application import Application
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.request_reader import GOING_ON_MAX
from tocsin.server.request_head import RequestHead

_REQUEST_ID_LENGTH_MAX: Final = 128
"""Characters of an id given by a proxy; it is on every line of the log. UUIDs have 36."""
_REQUEST_ID: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
_ENTERING_MAX: Final = 2
"""Requests that go to Hypercorn and Quart in one turn of the event loop: each of them takes a
millisecond to begin with. A semaphore is held for a turn, or handed on once in each."""


@dataclass(slots=True)
class Shared:
    """The application and the limits; and, for the lane of Quart, *app* with Hypercorn's *config*.

    *draining*, every connection closes behind the answer that it gives.
    """

    application: Application
    limits: HttpLimits
    app: AppWrapper
    config: Config
    new_request_id: Callable[[], str]
    draining: bool = False
    context: WorkerContext = field(default_factory=lambda: WorkerContext(None))
    going_on: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(GOING_ON_MAX))
    entering: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(_ENTERING_MAX))

    def name_request(self, head: RequestHead | None) -> str:
        """The request's id: the client's, if it may stand in a header and a log line."""
        given = None if head is None else head.headers.get("x-request-id")
        if given and len(given) <= _REQUEST_ID_LENGTH_MAX and _REQUEST_ID.issuperset(given):
            return given
        return self.new_request_id()
