"""Refusals of the edges, made visible: a counter and a bounded log line for each.

An operator who is asked "why can my app not connect?", or who is under attack, looks here first.
The reasons are few and fixed, so nobody can make more counters; and of each reason a few lines a
minute are written, the first of which says how many were left out, so nobody can fill our logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import structlog

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal, Refused
from tocsin.server.admission.limits import Limit
from tocsin.server.admission.seldom import Seldom

logger = structlog.get_logger(__name__)

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
LINES_MAX: Final = 20
"""Lines in a `PERIOD`, for each reason."""
PERIOD: Final = 60.0
"""Seconds."""


class Reason(StrEnum):
    """Why something was refused, apart from the limits, which go by their own names (`Limit`)."""

    ORIGIN = "origin"  # a page of another origin, which `origins` does not name
    HOST = "host"  # a Host that is not ours, on a loopback address
    HANDSHAKE = "handshake"  # an upgrade that is none
    MALFORMED_HEAD = "malformed_head"
    BODY = "body"  # a body that is cut, framed wrongly or coded
    TOO_LARGE = "too_large"  # a head, a body or a frame beyond its bound
    TIMEOUT = "timeout"  # a head, a body or a hello that did not come in time
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    FRAME = "frame"  # a frame that is none, or says what cannot be
    PACE = "pace"  # more on a WebSocket than its pace allows
    FULL = "full"  # `connections_max`, or another queue of ours
    DRAINING = "draining"


_OF_CLOSINGS: Final = {
    Closing.MALFORMED: Reason.FRAME,
    Closing.FRAME_TOO_LARGE: Reason.TOO_LARGE,
    Closing.RATE_LIMITED: Reason.PACE,
    Closing.HELLO_TIMEOUT: Reason.TIMEOUT,
    Closing.UNAUTHENTICATED: Reason.UNAUTHENTICATED,
    Closing.FORBIDDEN: Reason.FORBIDDEN,
    Closing.OVERLOADED: Reason.FULL,
    Closing.DRAINING: Reason.DRAINING,
}

# Reasons that an operator may have to act on, or is attacked with; the rest is a client's
# own trouble.
_WARNED: Final = frozenset({Reason.FULL, *Limit})


class EdgeRefusal(Refused):
    """The edge refuses a request for a *reason* that is counted."""

    def __init__(self, reason: Reason, code: str, detail: str) -> None:
        super().__init__(Refusal(code=code, detail=detail))
        self.reason = reason


class Refusals:
    """See the module. *clock* gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        reasons: tuple[Reason | Limit, ...] = (*Reason, *Limit)
        self._counts: dict[Reason | Limit, int] = dict.fromkeys(reasons, 0)
        self._lines = {reason: Seldom(LINES_MAX, PERIOD) for reason in reasons}

    @property
    def counts(self) -> Mapping[Reason | Limit, int]:
        """How often each reason was given, since the start."""
        return self._counts

    def note(
        self,
        reason: Reason | Limit,
        *,
        address: str,
        status: int | None = None,
        code: str | None = None,
        credential: str | None = None,
        method: str | None = None,
        route: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """*address* was refused something, and was told *status* (HTTP, or the close code).

        *code* is the problem's, *credential* `Principal.credential` where one was believed, *route*
        the path as the documents have it. A *method* that HTTP does not have is not written down:
        nothing comes in here that a peer wrote itself.
        """
        self._counts[reason] += 1
        left_out = self._lines[reason].due(self._clock())
        if left_out is None:
            return
        about = {
            "address": address,
            "status": status,
            "code": code,
            "credential": credential,
            "method": None if method is None else known_method(method),
            "route": route,
            "request_id": request_id,
            "left_out": left_out or None,
        }
        write = logger.warning if reason in _WARNED else logger.info
        write(
            "refused",
            reason=str(reason),
            **{name: value for name, value in about.items() if value is not None},
        )

    def note_closing(self, closing: Closing, *, address: str) -> None:
        """*address* had a WebSocket that ended with *closing*, if that is a refusal."""
        reason = _OF_CLOSINGS.get(closing)
        if reason is not None:
            self.note(reason, address=address, status=int(closing), code=closing.word)


def reason_of(status: int, code: str) -> Reason | None:
    """Why an answer with this *status* and the problem's *code* is a refusal of the edge's.

    `None` for what is none: a success, what was not found or not valid, a store that is away, and a
    limit, whose `Excess` knows its own name.
    """
    match status, code:
        case 401, _:
            return Reason.UNAUTHENTICATED
        case 403, _:
            return Reason.FORBIDDEN
        case 408, _:
            return Reason.TIMEOUT
        case 413 | 431, _:
            return Reason.TOO_LARGE
        case 400, "malformed":
            return Reason.BODY
        case 503, "overloaded":
            return Reason.FULL
        case _:
            return None


def known_method(method: str) -> str:
    """*method* if HTTP has it (RFC 9110 §9, RFC 5789), for a log line; else `other`."""
    return method if method in METHODS else "other"
