"""Events of a stream as bytes: lines of `field: value` with an empty line behind them.

HTML Living Standard §9.2.6. The data is JSON without a line break in it, so one line will do.
"""

from __future__ import annotations

from typing import Final

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames

COMMENT: Final = b":\n\n"
# To the standard these end no line, but to many clients they do (Python's splitlines).
_LINE_BREAKS: Final = (
    ("\x85".encode(), b"\\u0085"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_FOR_LONG: Final = 3600.0
"""Seconds for those who should not come back: an EventSource does whatever it is told."""


def event(name: str, data: bytes) -> bytes:
    """An event of the type *name*."""
    for line_break, escape in _LINE_BREAKS:
        data = data.replace(line_break, escape)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def retry(delay: float) -> bytes:
    """The line that says when an EventSource comes back, *delay* seconds after the end."""
    return b"retry: %d\n" % round(delay * 1000)


def goodbye(closing: Closing, after: float, detail: str = "") -> bytes:
    """The last event: *after* in seconds, *detail* what was wrong."""
    delay = after if closing.reconnect else _FOR_LONG
    return retry(delay) + event("goodbye", frames.encode_goodbye(closing, after, detail))
