"""Saying no: one value, which each edge writes its own way.

    Refusal ─┬─ HTTP            a problem with its status and headers   (server/api/problems.py)
             ├─ WebSocket       a `goodbye`, or the problem of a `reply`  (server/websocket/)
             ├─ event stream    a `goodbye` with a `retry`       (server/follow/stream_refusal.py)
             ├─ long poll       as HTTP; made of the closing that ended it
             └─ batch           the problem of an item

`Refused` carries it there. Its leaves stand where something is refused for a reason of their own
(a credential, a request's head, a limit, a frame); nothing but the edge needs to know them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.protocol.closing import Closing
from tocsin.protocol.errors import DescribedError
from tocsin.protocol.problems import FieldError, Problem, ProblemKind, kind_of, problem

_CODES: Final = {
    Closing.DRAINING: "overloaded",
    Closing.SLOW: "overloaded",
    Closing.UNRESPONSIVE: "request_timeout",
    Closing.HEARTBEAT_LOST: "request_timeout",
    Closing.HELLO_TIMEOUT: "request_timeout",
    Closing.TOO_MANY_DEVICES: "conflict",
    Closing.FRAME_TOO_LARGE: "too_large",
}
"""The problem's code where it is not the closing's word."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why not, and what would help.

    *code* is one of `PROBLEMS` or `CREDENTIAL_PROBLEMS`; *detail*, for the client's developer, must
    not quote secrets. *retry_after* is in seconds, `None` where coming back alone does not help.
    *reason* is the closing reason where it says more than that of the code. *challenge* is what a
    401 must carry in `WWW-Authenticate`, and a 403 may; *headers* are those that only HTTP can say.
    """

    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after: float | None = None
    reason: Closing | None = None
    challenge: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> ProblemKind:
        """The table's line for the code."""
        return kind_of(self.code)

    @property
    def closing(self) -> Closing:
        """The reason with which a connection ends for this."""
        return self.kind.closing if self.reason is None else self.reason

    @property
    def after(self) -> float:
        """The seconds to stay away that a goodbye says."""
        return self.closing.after if self.retry_after is None else self.retry_after

    @property
    def problem(self) -> Problem:
        """The problem that says this over HTTP, and in a reply.

        Without a detail of its own it says the reason, and what to do.
        """
        detail = self.detail or f"{self.closing.text} {self.closing.advice}"
        return problem(self.code, detail, list(self.errors))

    @property
    def last_words(self) -> str:
        """The `detail` of the goodbye that says this.

        Of a credential the closing reason says less than the code, so the code is in the text.
        """
        if self.closing is Closing.UNAUTHENTICATED and self.code != "unauthenticated":
            return f"{self.code}: {self.detail}"
        return self.detail


class Refused(DescribedError):
    """A request, a frame or a connection is refused; carries *refusal* to the edge."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.detail}")
        self.refusal = refusal

    @property
    def problem(self) -> Problem:
        """The refusal's problem."""
        return self.refusal.problem


def refuse(
    code: str,
    detail: str,
    errors: list[FieldError] | None = None,
    *,
    retry_after: float | None = None,
) -> Refused:
    """A `Refused` to raise, ready made; *retry_after* in seconds, by default that of *code*.

    Raises `KeyError` for a *code* that is not in the table.
    """
    wait = kind_of(code).retry_after if retry_after is None else retry_after
    return Refused(Refusal(code=code, detail=detail, errors=tuple(errors or ()), retry_after=wait))


def refusal_for(closing: Closing, detail: str = "", after: float | None = None) -> Refusal:
    """The refusal that a connection ending with *closing* is; *after* in seconds.

    Where no delay is given, that of the reason holds.
    """
    code = _CODES.get(closing, closing.word)
    wait = closing.after if after is None else after
    return Refusal(
        code=code,
        detail=detail,
        retry_after=wait if closing.reconnect else None,
        reason=closing,
    )
