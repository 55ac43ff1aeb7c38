"""The meaning of a draft: one text for all the ways to write the same.

Two posts with one idempotency key are a repetition if they mean the same (`fingerprint`). The
spelling does not matter: the order of fields and of recipients, a recipient named twice, a field
that is `null` or absent, escapes in strings, the offset of an instant, `1` or `1.0`. Strings mean
their characters, and are never normalised.

Digests are kept for as long as answers to idempotency keys are. So the form of usual drafts
(instants in UTC, one user) must never change.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from tocsin.protocol.instants import parse_instant
from tocsin.protocol.notifications.notification import Draft, Recipients
from tocsin.protocol.values import EARLIEST, to_rfc3339

_INTEGERS: Final = (-(2**63), 2**64 - 1)
"""The range in which `1.0` means `1`; larger numbers keep the form in which they were written."""


def fingerprint(draft: Draft) -> bytes:
    """A digest of the meaning of *draft*. Raises `ValueError` for text that is no instant."""
    return hashlib.sha256(meaning(draft)).digest()


def meaning(draft: Draft) -> bytes:
    """*draft* in its normal form, as JSON. Raises as `fingerprint` does."""
    users = draft.to.users
    to = Recipients(None if users is None else sorted(set(users)), draft.to.topic, draft.to.all)
    normal = msgspec.structs.replace(
        draft,
        to=to,
        data=_normal(draft.data),
        deliver_at=_in_utc(draft.deliver_at),
        expires_at=_in_utc(draft.expires_at),
    )
    return msgspec.json.encode(normal, order="sorted")


def _in_utc(text: str | None) -> str | None:
    if text is None:
        return None
    at = to_rfc3339(max(parse_instant(text), EARLIEST))
    whole, _, fraction = at.removesuffix("Z").partition(".")
    # As it has always been written here.
    return f"{whole}Z" if fraction == "000" else f"{whole}.{fraction}000Z"


def _normal(data: Any) -> Any:
    """*data*, at most `DATA_DEPTH_MAX` deep, with one form for each number."""
    match data:
        case dict():
            return {name: _normal(value) for name, value in data.items()}
        case list():
            return [_normal(value) for value in data]
        case float() if data.is_integer() and _INTEGERS[0] <= data <= _INTEGERS[1]:
            return int(data)
        case _:
            return data
