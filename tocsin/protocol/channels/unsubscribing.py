"""The token of an unsubscribe link (RFC 8058): one click, without a login.

It says for whom what ends, and is signed with a key that all nodes share. It never expires: a mail
of two years ago still has to be a way out. Its holder can do nothing else with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

import msgspec

from tocsin.protocol.refusal import refuse

TOKEN_PATTERN: Final = r"^[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{24}$(?!\n)"
_KEY: Final = b"tocsin unsubscribe"
_MARK_BYTES: Final = 18
"""Bytes of the signature: 144 bits are not found by trying."""


class Unsubscription(msgspec.Struct, frozen=True, array_like=True):
    """*user* wants nothing more of *category* on *channel*."""

    user: str
    channel: str
    category: str


def unsubscribe_token(secret: str, wanted: Unsubscription) -> str:
    """The token for *wanted*, signed with the nodes' *secret*."""
    body = _text(msgspec.json.encode(wanted))
    return f"{body}.{_text(_mark(secret, body))}"


def read_unsubscribe_token(secret: str, token: str) -> Unsubscription:
    """The wish in *token*; raises `Refused` (404) if nobody with *secret* has made it."""
    body, _, mark = token.partition(".")
    if not hmac.compare_digest(_text(_mark(secret, body)).encode(), mark.encode()):
        raise refuse("not_found", "This link was not made here, or it is cut off.")
    # It was signed with our secret, so it is whole.
    text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    return msgspec.json.decode(text, type=Unsubscription)


def _mark(secret: str, body: str) -> bytes:
    key = hmac.digest(secret.encode(), _KEY, "sha256")
    return hmac.new(key, body.encode(), hashlib.sha256).digest()[:_MARK_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
