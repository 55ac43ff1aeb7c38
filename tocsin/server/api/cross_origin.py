"""Pages of other origins: those that are named in `origins` may use the API (CORS, Fetch standard).

They bring their credential in a header, never in a cookie, so a page that is not named can do
nothing in a user's name either; its browser just does not show it the answers.
"""

from __future__ import annotations

from typing import Final

from tocsin.server.admission.origins import is_allowed_origin
from tocsin.server.http.response import Whole
from tocsin.server.request_head import RequestHead

_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_TAKEN: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "X-Request-Id"
)
_SHOWN: Final = (
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
)
_PREFLIGHT_LIFETIME: Final = 600
"""Seconds for which a browser need not ask again."""
_OTHERS: Final = "Vary: Origin\r\n"


def cross_origin_lines(head: RequestHead, origins: tuple[str, ...]) -> str:
    """Header lines with which a browser shows the answer to the page that asked, if it may."""
    origin = head.headers.get("origin")
    if origin is None or not is_allowed_origin(head.headers, origins):
        return _OTHERS
    return (
        f"{_OTHERS}Access-Control-Allow-Origin: {origin}\r\n"
        f"Access-Control-Expose-Headers: {_SHOWN}\r\n"
    )


def preflight(head: RequestHead, origins: tuple[str, ...]) -> Whole | None:
    """The answer to a browser that asks whether its page may ask, if it may."""
    headers = head.headers
    if (
        head.method != "OPTIONS"
        or "access-control-request-method" not in headers
        or "origin" not in headers
        or not is_allowed_origin(headers, origins)
    ):
        return None
    return Whole(
        204,
        None,
        headers=(
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _TAKEN),
            ("Access-Control-Max-Age", str(_PREFLIGHT_LIFETIME)),
        ),
    )
