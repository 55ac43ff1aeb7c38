"""Every answer has a request id, and so has every log line on the way to it."""

from __future__ import annotations

import logging
import re
from secrets import token_hex
from typing import Final

import structlog
from quart import Quart, Response, request

logger = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def sane_request_id(given: str | None) -> str | None:
    """The client's request id, if it may stand in a header and a log line."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def register_request_ids(app: Quart) -> None:
    """Name each request of *app*, and log those that are refused."""

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
