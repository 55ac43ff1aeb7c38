"""Random words that are credentials, and what is kept of them.

Keys and tickets are made the same way: 256 random bits, written so that they
survive being read over a telephone, double-clicked and put in a URL, and known to
the store only by their hash.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from typing import Final

SECRET_BYTES: Final = 32
"""Bytes from the system's random source in every secret."""

SECRET_LENGTH: Final = 52
"""Characters of `SECRET_BYTES` in base 32."""


def spell(random: bytes) -> str:
    """Lower-case base 32 without padding: letters and digits, no `_`, no `-`, one case.

    Base 64 would be nine characters shorter, and its `-` would end a double click in
    the middle of the secret, its `_` look like our separator.
    """
    return b32encode(random).decode().rstrip("=").lower()


def digest(text: str) -> bytes:
    """The SHA-256 of a whole credential: what the store keeps, and finds it by.

    A *fast* hash is right here. Slow ones (scrypt, Argon2) buy time for secrets that
    people choose, by making each guess dear. No guess finds 256 random bits, at any
    price per guess; the hash only has to be one-way, so that a stolen database holds
    no credential. A slow one would cost each request 50 ms of CPU and give anyone who
    sends rubbish a way to spend it for us. For the same reason there is no salt: no
    two secrets are alike, and no table of them can be made.
    """
    return hashlib.sha256(text.encode()).digest()
