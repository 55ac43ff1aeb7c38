"""Conditional requests (RFC 9110 §13): the meaning of `If-Match` and `If-None-Match`, as
arithmetic.

A condition is never malformed, only false: a client that sends an unknown tag does not have the
current revision. Tags are compared weakly in both headers, though in `If-Match` they should not be
(§13.1.1): nginx makes `"3"` into `W/"3"` when it compresses an answer, and the client sends that
back. Nothing is lost by it, as a revision says the same however its JSON is packed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# An entity-tag (RFC 9110 §8.8.3), weak or not; bytes above ASCII have been read as Latin-1.
_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# `"3"` or `"3-4f6a"`; a proxy may have put its own mark behind it, such as `"3-4f6a-gzip"`.
_REVISION: Final = re.compile(r"([1-9][0-9]{0,8})(?:-|\Z)")
_BETWEEN: Final = " \t,"


def expected_revisions(if_match: str | None) -> tuple[int, ...] | None:
    """Which revisions *if_match* allows; `None` for any, an empty tuple for none."""
    if if_match is None or if_match.strip(" \t") == "*":
        return None
    found = (_REVISION.match(tag) for tag in _tags(if_match))
    return tuple(dict.fromkeys(int(each[1]) for each in found if each is not None))


def has_tag(if_none_match: str | None, tag: str) -> bool:
    """Whether *tag*, in quotes, is among those of *if_none_match*, or that is `*`."""
    if if_none_match is None:
        return False
    if if_none_match.strip(" \t") == "*":
        return True
    return any(f'"{each}"' == tag for each in _tags(if_none_match))


def _tags(text: str) -> Iterator[str]:
    """The quoted texts of a list of tags; anything that is no tag is passed over to the next comma.

    Linear: a tag ends at the next quote, and none is begun inside one that was read.
    """
    at = 0
    while at < len(text):
        if text[at] in _BETWEEN:
            at += 1
            continue
        match = _TAG.match(text, at)
        if match is not None and (match.end() == len(text) or text[match.end()] in _BETWEEN):
            yield match[1]
            at = match.end()
            continue
        comma = text.find(",", at)
        at = len(text) if comma < 0 else comma
