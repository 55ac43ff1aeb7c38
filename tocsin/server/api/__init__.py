"""The HTTP API as a Quart application; it asks actors and knows no store."""

from __future__ import annotations

import logging
from secrets import token_hex

import structlog
from quart import Response, request
from quart_trio import QuartTrio

from tocsin.server.api.operators import operators_blueprint
from tocsin.server.api.problems import register_error_handlers
from tocsin.server.api.producers import producers_blueprint
from tocsin.server.api.requests import sane_request_id
from tocsin.server.api.users import users_blueprint
from tocsin.server.diagnostics import METRICS_CONTENT_TYPE, render_metrics
from tocsin.server.publishing import Publishing
from tocsin.server.services import Services

logger = structlog.get_logger(__name__)

_BODY_TIMEOUT = 30
"""Seconds for a request's body to arrive."""


def create_app(services: Services, publishing: Publishing) -> QuartTrio:
    """All routes of this release, with request ids and problems for errors."""
    app = QuartTrio("tocsin")
    app.config["MAX_CONTENT_LENGTH"] = services.settings.body_bytes_max
    app.config["BODY_TIMEOUT"] = _BODY_TIMEOUT
    register_error_handlers(app)
    app.register_blueprint(producers_blueprint(services, publishing))
    app.register_blueprint(users_blueprint(services))
    app.register_blueprint(operators_blueprint(services))
    _register_request_ids(app)
    return app


def create_metrics_app(services: Services) -> QuartTrio:
    """Only `/metrics`, without credentials: for a port that only the monitoring reaches."""
    app = QuartTrio("tocsin-metrics")
    register_error_handlers(app)
    _register_request_ids(app)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(render_metrics(services), content_type=METRICS_CONTENT_TYPE)

    return app


def _register_request_ids(app: QuartTrio) -> None:
    """Every answer has a request id, and so has every log line on the way to it."""

    @app.before_request
    async def name_request() -> None:
        request_id = sane_request_id(request.headers.get("X-Request-Id")) or token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)

    @app.after_request
    async def finish(response: Response) -> Response:
        request_id = structlog.contextvars.get_contextvars().get("request_id", "")
        response.headers["X-Request-Id"] = request_id
        if response.status_code >= 400:
            # A load balancer asks every second; that the store is away is logged once, elsewhere.
            expected = response.status_code < 500 or request.path == "/readyz"
            level = logging.INFO if expected else logging.ERROR
            logger.log(
                level,
                "request refused",
                method=request.method,
                route=str(request.url_rule),
                status=response.status_code,
            )
        return response
