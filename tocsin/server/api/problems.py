"""A refusal as HTTP says it: every error of the API is `application/problem+json`."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import structlog

from tocsin.protocol.refusal import Refusal, Refused
from tocsin.server.http.response import Whole

logger = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_BROKEN: Final = Refusal(code="internal_error", detail="Something of ours broke; it is logged.")


def refusal_of(error: Exception) -> Refusal:
    """The refusal that *error* carries; any other error is ours, and logged with its traceback."""
    if isinstance(error, Refused):
        return error.refusal
    logger.error("request failed", exc_info=error)
    return _BROKEN


def problem_answer(refusal: Refusal) -> Whole:
    """*refusal* as an answer."""
    wrong = refusal.problem
    headers = refusal.headers
    if refusal.challenge is not None:
        headers = (*headers, ("WWW-Authenticate", refusal.challenge))
    if refusal.retry_after is not None:
        headers = (*headers, ("Retry-After", str(math.ceil(refusal.retry_after))))
    # The line end is for people with curl, whose prompt would stand behind the answer.
    return Whole(wrong.status, msgspec.json.encode(wrong) + b"\n", MEDIA_TYPE, headers)
