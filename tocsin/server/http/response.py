"""An answer as bytes: RFC 9112 §4 and §6. One writer for all answers, whoever gives them.

So an answer that the door gives for a request that it refuses has the same headers as that of a
handler: a page of another origin can read why, a browser sniffs nothing, and no cache keeps it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

Fields = Iterable[tuple[str, str]]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The answer that a client may wait for before it sends its body (RFC 9110 §10.1.1)."""
_STATUS_LINES: Final = {
    int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_NO_BODY: Final = frozenset((204, 304))  # statuses (RFC 9110 §6.4.1)
_ALWAYS: Final = (
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)
_NOT_KEPT: Final = "Cache-Control: no-store\r\n"
_CLOSE: Final = "Connection: close\r\n"


class Whole(msgspec.Struct, frozen=True):
    """An answer that is there at once. *body* is `None` where there is none, not even an empty
    one."""

    status: int
    body: bytes | None
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Lasting(msgspec.Struct, frozen=True):
    """An answer with status 200 that comes as it is made: *body* is entered when it begins, and
    left however it ends. A chunk is asked for when the client has taken the one before; that is a
    checkpoint, or an answer without an end would keep others from running.

    *direct*, if there is one, is given the way past the task: a function that writes a chunk at
    once and says whether the socket has taken it. It may be called only while a chunk is waited
    for, and after it has said no, only once the next was asked for."""

    body: AbstractAsyncContextManager[AsyncIterator[bytes]]
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    direct: Callable[[Callable[[bytes], bool]], None] | None = None


def whole_response(
    answer: Whole, *, request_id: str, extra: str = "", close: bool, without_body: bool = False
) -> bytes:
    """*answer* as bytes; *without_body* for HEAD. *extra* are lines for this client, each with its
    end. Raises `ValueError` for a header that would be two."""
    body = answer.body
    if body is not None:
        framing = f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
    else:
        framing = "" if answer.status in _NO_BODY else "Content-Length: 0\r\n"
    head = response_head(
        answer.status, answer.headers, framing, request_id=request_id, extra=extra, close=close
    )
    return head if body is None or without_body else head + body


def response_head(
    status: int, fields: Fields, framing: str, *, request_id: str, extra: str, close: bool
) -> bytes:
    """The head of an answer. *framing* are the lines that say what its body is.

    Unless its *fields* speak of caching, no cache may keep it. Raises `ValueError` for a
    field that would be two.
    """
    lines = _STATUS_LINES[status]
    caching = _NOT_KEPT
    for name, value in fields:
        if "\n" in value or "\r" in value:
            raise ValueError(f"the header {name} has a line end in it")
        if name.lower() == "cache-control":
            caching = ""
        lines += f"{name}: {value}\r\n"
    lines += (
        f"{framing}{caching}X-Request-Id: {request_id}\r\nDate: {_http_date()}\r\n"
        f"{_ALWAYS}{extra}{_CLOSE if close else ''}\r\n"
    )
    return lines.encode("latin-1")


def has_body(method: str, status: int) -> bool:
    """Whether an answer with *status* to *method* has a body (RFC 9112 §6.3)."""
    return method != "HEAD" and status not in _NO_BODY


def chunk(data: bytes) -> bytes:
    """One chunk of a body (RFC 9112 §7.1); of nothing, the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class _HttpDate:
    """The time as a header says it (RFC 9110 §5.6.7), made once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def __call__(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_http_date: Final = _HttpDate()
