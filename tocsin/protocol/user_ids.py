"""User ids: 1 to 255 visible characters, as identity providers have them.

    ada · auth0|5f7c8ec7c33c6c004bbafe82 · ada+x@example.org · https://idp.example/users/42 · Ädä

They are compared code point by code point and never normalised: whoever names users chose the form,
and two that merely look alike are two. In UTF-8 they have at most 1 020 bytes. They have no white
space and no control character, so they may stand in a line of a log or on a terminal as they are.
"""

from __future__ import annotations

import re
from typing import Final

USER_ID_CHARACTERS_MAX: Final = 255

# Written out, and not asked of Python's tables: the nodes of one cluster, and clients, may have
# those of different years.
_UNSEEN: Final = (
    # Control characters and all that separates; formats, which are invisible, and of which some
    # turn the text around them.
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    # What is for private use, and what is no character. U+FFFD stands for what could not be read:
    # two broken ids would become one.
    r"\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff"
)
UNSEEN_BEYOND_SCHEMAS: Final = (
    r"\ud800-\udfff"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    # Past plane 3 there is nothing to be seen.
    r"\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe-\U0010ffff"
)
"""The part of `USER_ID_CHARACTER` that is not said in JSON Schemas: no two languages write what is
past U+FFFF alike, and in some it breaks the pattern."""

USER_ID_CHARACTER: Final = f"[^{_UNSEEN}{UNSEEN_BEYOND_SCHEMAS}]"
"""One of the characters that they are made of."""
USER_ID_PATTERN: Final = f"^{USER_ID_CHARACTER}*$"
"""What they are made of; how long they are is for who uses it to say. Read in one pass."""

_USER_ID: Final = re.compile(USER_ID_PATTERN)


def is_user_id(text: str) -> bool:
    """Whether *text* may name a user."""
    # `$` also matches before a trailing newline; fullmatch does not.
    return 0 < len(text) <= USER_ID_CHARACTERS_MAX and _USER_ID.fullmatch(text) is not None
