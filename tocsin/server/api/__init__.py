"""The HTTP API as a Quart application; it asks actors and knows no store.

What it does is listed in `OPERATIONS`, each with its record (`operation`); how requests become
calls of them is the same for all (`routing`).
"""

from __future__ import annotations

from typing import Final

from quart import Response
from quart_trio import QuartTrio

from tocsin.server.api import (
    dead_letters,
    inbox,
    me,
    operators,
    presence,
    producers,
    spool,
    streams,
    topics,
)
from tocsin.server.api.cross_origin import register_cross_origin
from tocsin.server.api.documents import documents_of
from tocsin.server.api.operation import Operation
from tocsin.server.api.problems import register_error_handlers
from tocsin.server.api.request_ids import register_request_ids
from tocsin.server.api.routing import mount
from tocsin.server.diagnostics import METRICS_CONTENT_TYPE, render_metrics
from tocsin.server.publishing import Publishing
from tocsin.server.services import Services
from tocsin.server.stream_refusal import register_stream_refusals

_WORK: Final[tuple[Operation, ...]] = (
    *producers.operations.all,
    *topics.operations.all,
    *presence.operations.all,
    *inbox.operations.all,
    *streams.operations.all,
    *me.operations.all,
    *operators.operations.all,
    *spool.operations.all,
    *dead_letters.operations.all,
)
OPERATIONS: Final[tuple[Operation, ...]] = (*_WORK, *documents_of(_WORK).all)
"""Everything that the HTTP API does."""


def create_app(services: Services, publishing: Publishing) -> QuartTrio:
    """All routes of this release, with request ids and problems for errors."""
    app = QuartTrio("tocsin")
    # How large a body may be and how long it may take depends on the path, and has been seen to
    # before it gets here (`bounded_http`).
    app.config["MAX_CONTENT_LENGTH"] = None
    app.config["BODY_TIMEOUT"] = None
    register_error_handlers(app)
    mount(app, OPERATIONS, services, publishing)
    register_stream_refusals(app, services)
    register_request_ids(app)
    register_cross_origin(app, services.settings.origins)
    return app


def create_metrics_app(services: Services) -> QuartTrio:
    """Only `/metrics`, without credentials: for a port that only the monitoring reaches."""
    app = QuartTrio("tocsin-metrics")
    register_error_handlers(app)
    register_request_ids(app)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(render_metrics(services), content_type=METRICS_CONTENT_TYPE)

    return app
