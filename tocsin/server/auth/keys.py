"""API keys: `tk_<id>_<secret>`, for programs that publish.

The id is public: it finds the record, and names the key in logs and lists. The
secret is 256 random bits that we show once and keep only as a hash.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import SCOPES, Principal
from tocsin.server.auth.secret import SECRET_BYTES, SECRET_LENGTH, digest, spell

KEY_PREFIX: Final = "tk_"
"""The prefix that tells an API key from a token, without parsing either."""

ID_BYTES: Final = 10
"""Bytes. 80 random bits: ids do not meet by chance, and so need no check in the store."""

_TEXT: Final = re.compile(rf"{KEY_PREFIX}([a-z2-7]{{16}})_[a-z2-7]{{{SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. *text* is shown to its owner once and then forgotten."""

    id: str
    text: str = field(repr=False)
    hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the store knows it. Times are Unix seconds; *revoked_at* None = in force."""

    id: str
    hash: bytes = field(repr=False)
    scopes: frozenset[str]
    name: str
    created_at: float
    revoked_at: float | None = None


def generate_key(token_bytes: Callable[[int], bytes]) -> NewKey:
    """Make a key from a source of randomness: `secrets.token_bytes`, or a seeded one in tests."""
    key_id = spell(token_bytes(ID_BYTES))
    text = f"{KEY_PREFIX}{key_id}_{spell(token_bytes(SECRET_BYTES))}"
    return NewKey(key_id, text, digest(text))


def read_key_id(text: str) -> str:
    """The id in a key's text. Raises `Unauthenticated` (`key_malformed`)."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise Unauthenticated("The API key is not complete.", AuthCode.KEY_MALFORMED)
    return match[1]


def check_key(text: str, stored: StoredKey | None) -> Principal:
    """The principal of the holder of *text*. Raises `Unauthenticated` (`key_…`).

    An unknown id and a wrong secret get the same answer. That a key is revoked is
    told only to one who holds its secret, since only they have use for knowing.
    """
    # Compared even without a record, so that the time taken does not tell either.
    hash_matches = hmac.compare_digest(digest(text), stored.hash if stored else bytes(32))
    if stored is None or not hash_matches:
        raise Unauthenticated("The API key is not known.", AuthCode.KEY_UNKNOWN)
    if stored.revoked_at is not None:
        raise Unauthenticated("The API key has been revoked.", AuthCode.KEY_REVOKED)
    return Principal(
        user=None,
        scopes=SCOPES & stored.scopes,
        credential=f"key:{stored.id}",
        expires_at=None,
    )
