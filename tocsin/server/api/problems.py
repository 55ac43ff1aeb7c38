"""Every error of the HTTP API is `application/problem+json`, whoever raised it."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import structlog

from tocsin.protocol.problems import TITLES, TYPE_BASE, Problem, ProblemError, problem
from tocsin.server.admission.gate import LimitReached
from tocsin.server.api.routes import MethodNotAllowed
from tocsin.server.auth import AuthCode, AuthError, AuthUnavailable, Forbidden, Unauthenticated
from tocsin.server.http.response import Whole
from tocsin.server.request_head import BadHead

logger = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_OF_ANOTHER: Final = {
    AuthCode.TOKEN_SIGNATURE,
    AuthCode.TOKEN_KEY_UNKNOWN,
    AuthCode.KEY_UNKNOWN,
}
"""What is wrong with a credential of another server, or of another data directory."""


def problem_answer(error: Exception, data_told: str | None = None) -> Whole:
    """The answer that *error* means; what is our fault is logged with its traceback.

    *data_told*: the data directory, for those who may know it.
    """
    match error:
        case MethodNotAllowed(allowed=allowed):
            return _answer(error.problem, ("Allow", ", ".join(allowed)))
        case LimitReached(refusal=refusal):
            return _answer(error.problem, *refusal.headers)
        case ProblemError():
            return _answer(error.problem, *_retry_after(error.retry_after))
        case AuthError():
            return _auth_answer(error, data_told)
        case BadHead():
            return _answer(_bad_head(error), *error.headers)
        case _:
            logger.error("request failed", exc_info=error)
            return _answer(problem("internal_error", "Something of ours broke; it is logged."))


def _auth_answer(error: AuthError, data_told: str | None) -> Whole:
    match error:
        case Forbidden():
            return _answer(_named(problem("forbidden", error.detail), error))
        case AuthUnavailable():
            wrong = _named(problem("store_unavailable", error.detail), error)
            return _answer(wrong, *_retry_after(error.retry_after))
        case Unauthenticated():
            detail = error.detail
            if data_told is not None and error.code in _OF_ANOTHER:
                # The usual reason is a command that was called in another directory.
                detail += f" This server keeps its data in {data_told}."
            wrong = _named(problem("unauthenticated", detail), error)
            return _answer(wrong, ("WWW-Authenticate", error.challenge))
        case _:
            raise AssertionError(error)


def _named(wrong: Problem, error: AuthError) -> Problem:
    return msgspec.structs.replace(wrong, code=str(error.code))


def _bad_head(bad: BadHead) -> Problem:
    _, title = TITLES.get(bad.code, (bad.status, "Not a request that is understood here"))
    return Problem(TYPE_BASE + bad.code, title, bad.status, bad.detail, bad.code)


def _retry_after(seconds: float | None) -> tuple[tuple[str, str], ...]:
    return () if seconds is None else (("Retry-After", str(math.ceil(seconds))),)


def _answer(wrong: Problem, *headers: tuple[str, str]) -> Whole:
    # The line end is for people with curl, whose prompt would stand behind the answer.
    return Whole(wrong.status, msgspec.json.encode(wrong) + b"\n", MEDIA_TYPE, headers)
