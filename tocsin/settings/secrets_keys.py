"""The keys that seal secrets in the database, as a setting."""

from __future__ import annotations

import base64
import binascii

from tocsin.protocol.secret_box import KEY_BYTES

KEYS_MAX = 8
"""Keys at a time: a rotation has two."""


def read_secrets_keys(raw: object) -> tuple[bytes, ...]:
    """The keys in *raw*, base64 between commas, the one that seals first. Raises `ValueError`."""
    keys = tuple([_key(text.strip()) for text in str(raw).split(",")])
    if len(keys) > KEYS_MAX:
        raise ValueError(f"has more than {KEYS_MAX} keys")
    if len(set(keys)) < len(keys):
        raise ValueError("has a key twice")
    return keys


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("is not base64, such as `openssl rand -base64 32` gives") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"has a key of {len(key)} bytes; it wants {KEY_BYTES}")
    return key
