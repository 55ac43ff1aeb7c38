"""What every route does with a request: who is it, what does it ask, answer in JSON."""

from __future__ import annotations

import re
from typing import Final

from quart import Response, request

from tocsin.protocol.problems import FieldError, refuse
from tocsin.server.auth import Authenticator, Principal

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def sane_request_id(given: str | None) -> str | None:
    """The client's request id, if it may stand in a header and a log line."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


async def authenticate(authenticator: Authenticator) -> Principal:
    """Who asks; raises `Unauthenticated` or `AuthUnavailable`."""
    values = request.headers.getlist("Authorization")
    # Two of them is a trick; joined, they match no scheme.
    return await authenticator.from_header(", ".join(values) if values else None)


async def read_body() -> bytes:
    """The request's body, bounded in bytes and time by the application's settings."""
    body = await request.get_data()
    assert isinstance(body, bytes)
    return body


def json_answer(body: bytes | str, status: int = 200) -> Response:
    """*body*, which is JSON already."""
    return Response(body, status, content_type="application/json")


def read_limit(default: int, maximum: int) -> int:
    """The `limit` of the query; raises `ProblemError` unless it is 1 to *maximum*."""
    return _read_number("limit", default, 1, maximum)


def read_before() -> int | None:
    """The `before` of the query, as a page's `next` gave it."""
    return _read_number("before", 0, 1, 2**53) if "before" in request.args else None


def check_query(*known: str) -> None:
    """Refuse query parameters that mean nothing here, so that typing errors are seen."""
    unknown = sorted(set(request.args) - set(known))
    if unknown:
        wrong = [FieldError(f"?{name}", "is not known here") for name in unknown]
        raise refuse("invalid", f"No such query parameter: {', '.join(unknown)}.", wrong)


def _read_number(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    # isdecimal alone lets other scripts' digits and any length through.
    if text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    wrong = [FieldError(f"?{name}", f"a number from {least} to {most}")]
    raise refuse("invalid", f"`{name}` cannot be read.", wrong)
