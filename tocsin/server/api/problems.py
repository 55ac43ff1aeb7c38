"""Every error of the HTTP API is `application/problem+json`, whoever raised it."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import structlog
from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from tocsin.protocol.problems import Problem, ProblemError, problem
from tocsin.server.auth import AuthError, AuthUnavailable, Forbidden, Unauthenticated
from tocsin.server.request_head import BadHead

logger = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_CODES: Final = {
    400: "malformed",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
}


def problem_answer(wrong: Problem, retry_after: float | None = None) -> Response:
    """The response for *wrong*; *retry_after* in seconds, rounded up."""
    response = Response(msgspec.json.encode(wrong), wrong.status, content_type=MEDIA_TYPE)
    if retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after))
    return response


def register_error_handlers(app: Quart) -> None:
    """Answer every exception with a problem; what is our fault is logged with its traceback."""

    @app.errorhandler(ProblemError)
    async def on_problem(error: ProblemError) -> Response:
        return problem_answer(error.problem, error.retry_after)

    @app.errorhandler(AuthError)
    async def on_auth(error: AuthError) -> Response:
        match error:
            case Forbidden():
                wrong = problem("forbidden", error.detail)
                return problem_answer(msgspec.structs.replace(wrong, code=str(error.code)))
            case AuthUnavailable():
                wrong = problem("store_unavailable", error.detail)
                return problem_answer(
                    msgspec.structs.replace(wrong, code=str(error.code)), error.retry_after
                )
            case Unauthenticated():
                wrong = problem("unauthenticated", error.detail)
                response = problem_answer(msgspec.structs.replace(wrong, code=str(error.code)))
                response.headers["WWW-Authenticate"] = error.challenge
                return response
            case _:
                raise AssertionError(error)

    @app.errorhandler(BadHead)
    async def on_bad_head(error: BadHead) -> Response:
        return problem_answer(problem(_CODES.get(error.status, "malformed"), error.detail))

    @app.errorhandler(HTTPException)
    async def on_http(error: HTTPException) -> Response:
        status = error.code or 500
        code = _CODES.get(status)
        if code is None:
            code = "malformed" if status < 500 else "internal_error"
        response = problem_answer(problem(code, error.description or error.name))
        if status == 405:
            response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ())
        return response

    @app.errorhandler(Exception)
    async def on_bug(error: Exception) -> Response:
        logger.error("request failed", exc_info=error)
        return problem_answer(problem("internal_error", "Something of ours broke; it is logged."))
