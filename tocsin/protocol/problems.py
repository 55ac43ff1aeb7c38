"""Errors as values: RFC 9457 problem details, the same over HTTP and in `reply` frames.

`code` is the stable word that programs match on; `title` and `detail` are for people.
"""

from __future__ import annotations

from typing import Final

import msgspec

TYPE_BASE: Final = "https://tocsin.dev/problems/"

TITLES: Final = {
    "malformed": (400, "The request could not be read"),
    "unauthenticated": (401, "Who are you?"),
    "forbidden": (403, "Not yours"),
    "topic_closed": (403, "Only producers subscribe users to this topic"),
    "not_found": (404, "No such thing"),
    "method_not_allowed": (405, "Not with this method"),
    "request_timeout": (408, "The request took too long"),
    "idempotency_in_flight": (409, "The first request with this key is still running"),
    "conflict": (409, "The thing is in another state"),
    "replaced": (409, "The same device has connected again"),
    "disconnected": (409, "The connection was ended"),
    "revision_mismatch": (412, "Somebody changed it first"),
    "too_large": (413, "Too large"),
    "unsupported_media_type": (415, "Not a format we read"),
    "invalid": (422, "The request does not say what it should"),
    "idempotency_key_reused": (422, "This key was used for another request"),
    "rate_limited": (429, "Too many requests"),
    "internal_error": (500, "Our fault"),
    "bus_unavailable": (503, "The other nodes cannot be asked now"),
    "store_unavailable": (503, "The store cannot take this now"),
    "overloaded": (503, "Too much at once"),
}
"""Every code, with its HTTP status and title."""


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where: *path* is a JSONPath such as `$.to.users[3]`."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as it goes over the wire."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Carries a `Problem` to the edge that answers with it; *retry_after* is in seconds."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem
        self.retry_after = retry_after


def problem(code: str, detail: str, errors: list[FieldError] | None = None) -> Problem:
    """The problem named *code*; raises `KeyError` for a code that is not in the table."""
    status, title = TITLES[code]
    return Problem(TYPE_BASE + code, title, status, detail, code, errors or [])


def refuse(
    code: str,
    detail: str,
    errors: list[FieldError] | None = None,
    *,
    retry_after: float | None = None,
) -> ProblemError:
    """A `ProblemError` to raise, ready made."""
    return ProblemError(problem(code, detail, errors), retry_after)
