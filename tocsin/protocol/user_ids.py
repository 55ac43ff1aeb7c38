"""User ids: 1 to 255 visible characters, as identity providers have them.

    ada · auth0|5f7c8ec7c33c6c004bbafe82 · ada+x@example.org · https://idp.example/users/42 · Ädä

They are compared code point by code point and never normalised: the identity provider chose the
form, and two ids that merely look alike are two. In UTF-8 they have at most 1 020 bytes. They have
no white space and no control character, so they may stand in a line of a log or on a terminal as
they are.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

USER_ID_CHARACTERS_MAX: Final = 255
"""Characters: the longest `sub` that OpenID Connect allows."""

# Written out instead of taken from Python's Unicode tables: the nodes of one cluster, and clients,
# may have tables of different years. Unassigned code points are allowed: a newer table may assign
# them.
_SEEN: Final = (
    # Not between them: control characters, all that separates, and formats, which are invisible,
    # and of which some turn the text around them.
    *((0x21, 0x7E), (0xA1, 0xAC), (0xAE, 0x5FF), (0x606, 0x61B), (0x61D, 0x6DC), (0x6DE, 0x70E)),
    *((0x710, 0x88F), (0x892, 0x8E1), (0x8E3, 0x167F), (0x1681, 0x180D), (0x180F, 0x1FFF)),
    *((0x2010, 0x2027), (0x2030, 0x205E), (0x2070, 0x2FFF), (0x3001, 0xD7FF)),
    # Nor surrogates, what is for private use, what is no character, and U+FFFD, which stands for
    # what could not be read: two broken ids would become one.
    *((0xF900, 0xFDCF), (0xFDF0, 0xFEFE), (0xFF00, 0xFFEF)),
    *((0x10000, 0x110BC), (0x110BE, 0x110CC), (0x110CE, 0x1342F), (0x13440, 0x1BC9F)),
    *((0x1BCA4, 0x1D172), (0x1D17B, 0x1FFFD), (0x20000, 0x2FFFD), (0x30000, 0x3FFFD)),
    # Nor anything past plane 3, where there is nothing to be seen.
)
_LAST_OF_SCHEMAS: Final = 0xFFFF
"""The last code point that regular expressions of all languages write alike."""
_SURROGATES: Final = (0xD800, 0xDFFF)  # first and last (Unicode, D71)


def _seen() -> str:
    # By what it has, since the first range that holds a character ends the search.
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in _SEEN)


def _unseen_of_schemas() -> str:
    known = sorted([(-1, -1), *_SEEN, _SURROGATES, (_LAST_OF_SCHEMAS + 1, _LAST_OF_SCHEMAS + 1)])
    gaps = [(before + 1, behind - 1) for (_, before), (behind, _) in pairwise(known)]
    return "".join(
        rf"\u{first:04x}-\u{last:04x}" for first, last in gaps if first <= last <= _LAST_OF_SCHEMAS
    )


USER_ID_CHARACTER: Final = f"[{_seen()}]"
"""One character of a user id."""
USER_ID_CHARACTER_OF_SCHEMAS: Final = f"[^{_unseen_of_schemas()}]"
"""The same for JSON Schema, as far as all languages write it alike: not past U+FFFF."""
USER_ID_PATTERN: Final = f"^{USER_ID_CHARACTER}*$"
"""The characters of a user id; the length is checked by the user of the pattern. Linear."""

_USER_ID: Final = re.compile(USER_ID_PATTERN)


def is_user_id(text: str) -> bool:
    """Whether *text* may name a user."""
    # `$` also matches before a trailing newline; fullmatch does not.
    return 0 < len(text) <= USER_ID_CHARACTERS_MAX and _USER_ID.fullmatch(text) is not None
