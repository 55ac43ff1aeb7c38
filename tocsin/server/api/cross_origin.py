"""Pages of other origins: those that are named in `origins` may use the API (CORS, Fetch standard).

They bring their credential in a header, never in a cookie, so a page that is not named can do
nothing in a user's name either; its browser just does not show it the answers.
"""

from __future__ import annotations

from typing import Final

from quart import Quart, Response, request

from tocsin.server.origins import is_allowed_origin
from tocsin.server.request_head import Headers

_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_TAKEN: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "X-Request-Id"
)
_SHOWN: Final = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-Id"
_PREFLIGHT_LIFETIME: Final = 600
"""Seconds for which a browser need not ask again."""


def register_cross_origin(app: Quart, origins: tuple[str, ...]) -> None:
    """Let pages of *origins* read the answers of *app*."""

    def origin() -> str | None:
        """The origin of the page that asks, if it may."""
        given = request.headers.get("Origin")
        headers = Headers(request.headers.items())
        return given if given is not None and is_allowed_origin(headers, origins) else None

    @app.before_request
    async def answer_preflight() -> Response | None:
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or asked is None or origin() is None:
            return None
        response = Response(b"", 204)
        del response.headers["Content-Type"]
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _TAKEN
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_LIFETIME)
        return response

    @app.after_request
    async def name_origin(response: Response) -> Response:
        response.headers.add("Vary", "Origin")
        if (allowed := origin()) is not None:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _SHOWN
        return response
