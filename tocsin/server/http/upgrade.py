"""The upgrade to a WebSocket: whether it can be answered. How, is told in `websocket_handshake`.

An upgrade that passes here can be answered at once and without fail, so no client whose handshake
hangs holds a place at the door.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tocsin.server.request_head import BadHead, RequestHead

_PROTOCOLS_MAX: Final = 16
"""Subprotocols offered; a client of ours offers one, and one for its token."""
_PROTOCOL_LENGTH_MAX: Final = 64
"""Characters of one."""
_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def check_upgrade(head: RequestHead) -> None:
    """Raise `BadHead` unless this upgrade can be answered: RFC 6455 §4.2.1."""
    headers = head.headers
    if headers.get("sec-websocket-version") != "13":
        raise BadHead(
            426,
            "Only version 13 of the WebSocket protocol is spoken here.",
            headers=(("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
        )
    if head.http_version != "1.1" or (headers.get("upgrade") or "").lower() != "websocket":
        raise BadHead(400, "A WebSocket begins with HTTP/1.1 and Upgrade: websocket.")
    if not _is_key(headers.get("sec-websocket-key") or ""):
        raise BadHead(400, "Sec-WebSocket-Key is 16 bytes in base64.")
    if "transfer-encoding" in headers or headers.get("content-length") not in {None, "0"}:
        raise BadHead(400, "A WebSocket upgrade has no body.")
    _check_protocols(head)


def _check_protocols(head: RequestHead) -> None:
    """Raise `BadHead` for subprotocols that are no list of tokens."""
    offered = head.headers.get("sec-websocket-protocol")
    if offered is None:
        return
    # A list may have empty members, which say nothing (RFC 9110 §5.6.1.2).
    protocols = [each for part in offered.split(",") if (each := part.strip(" \t"))]
    wrong = any(
        len(each) > _PROTOCOL_LENGTH_MAX or not _TOKEN.issuperset(each) for each in protocols
    )
    if wrong or len(protocols) > _PROTOCOLS_MAX:
        raise BadHead(400, "Sec-WebSocket-Protocol is a list of a few tokens.")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
