"""Keys that are there twice in a JSON object, at whatever depth.

RFC 8259 §4 leaves open what they mean: our parser would take the last, a proxy or a log perhaps the
first. So a document with one is refused.

The decoder does not report it, and a parser that does takes several times as long. But a document
that was decoded and is encoded again has as many colons as the text had, less those of the members
that were dropped; only a colon that was escaped in a string (`\\u003a`) could make up for one.
Where there may be one, or the counts differ, the text is parsed a second time, by a parser that
reports repeated keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

_ESCAPED: Final = b"\\u00"
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def repeated_key(text: bytes) -> str | None:
    """A key that is twice in an object of *text*, which is JSON that was decoded before.

    Linear in *text*; raises `RecursionError` where a decoder would.
    """
    colons = text.count(b":")
    if colons < 2:
        return None
    if _ESCAPED not in text:
        try:
            if colons == _encode(_decode(text)).count(b":"):
                return None
        except (ValueError, msgspec.MsgspecError):
            # Some number is too long for one of the two.
            return _look(text)
    return _look(text)


def _look(text: bytes) -> str | None:
    try:
        _CLOSE_LOOK.decode(text.decode())
    except _Repeated as found:
        return found.key
    return None


class _Repeated(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _check(members: Sequence[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in members:
        if key in seen:
            raise _Repeated(key)
        seen.add(key)


# The numbers are not needed, and converting long ones is not linear.
_CLOSE_LOOK: Final = json.JSONDecoder(
    object_pairs_hook=_check, parse_int=len, parse_float=len, parse_constant=len
)
