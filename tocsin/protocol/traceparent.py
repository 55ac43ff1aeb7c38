"""The header `traceparent`: which trace a request belongs to (W3C Trace Context, level 1, §3.2).

    00-<trace: 32 hex digits>-<span: 16 hex digits>-<flags: 2 hex digits>

A header that cannot be read is no error: the request then has no trace (§3.2.2.5).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:\Z|-.*)"
)
_VERSION: Final = "00"
_LENGTH: Final = 55
"""Characters of version 0; a later version may be longer."""
_LENGTH_MAX: Final = 256
"""Characters of a header that is looked at."""
_SAMPLED: Final = 1
"""The bit of the flags that says that the trace is sampled."""


class NotTaken(Exception):
    """The collector of spans did not take them, or was not reached."""


class SpanContext(msgspec.Struct, frozen=True, gc=False):
    """The name of a span: *trace* and *span*, in lower-case hex; whether it is *sampled*."""

    trace: str
    span: str
    sampled: bool = True

    def __str__(self) -> str:
        """The value of the header that makes what follows a part of this span."""
        return f"{_VERSION}-{self.trace}-{self.span}-{int(self.sampled):02x}"


def read_traceparent(text: str | None) -> SpanContext | None:
    """The span that *text* names; `None` if it names none."""
    if text is None or len(text) > _LENGTH_MAX:
        return None
    found = _FORM.match(text)
    if found is None or (text.startswith(_VERSION) and len(text) != _LENGTH):
        return None
    return SpanContext(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))
