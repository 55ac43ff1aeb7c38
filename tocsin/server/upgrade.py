"""The upgrade to a WebSocket: whether it can be answered, and how it is told to trio-websocket.

wsproto parses what it is given with a parser of its own. It is given not the client's head but one
that is written here, of the few fields that matter, all of them judged. So there is nothing about
which the two could disagree, and no handshake that is accepted here and hangs there.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tocsin.server.request_head import BadHead, RequestHead

_PROTOCOLS_MAX: Final = 16
_PROTOCOL_LENGTH_MAX: Final = 64
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
    _protocols(head)


def canonical_upgrade(head: RequestHead) -> bytes:
    """The head of an upgrade that `check_upgrade` has passed, in our own words.

    Without its query, its credentials and its extensions, of which we speak none.
    """
    headers = head.headers
    lines = [
        "GET / HTTP/1.1",
        f"Host: {headers.get('host') or 'localhost'}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {headers.get('sec-websocket-key')}",
    ]
    if protocols := _protocols(head):
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _protocols(head: RequestHead) -> list[str]:
    """The subprotocols that are offered; raises `BadHead` for what is no list of tokens."""
    offered = head.headers.get("sec-websocket-protocol")
    if offered is None:
        return []
    protocols = [each.strip(" \t") for each in offered.split(",")]
    wrong = any(
        not each or len(each) > _PROTOCOL_LENGTH_MAX or not _TOKEN.issuperset(each)
        for each in protocols
    )
    if wrong or len(protocols) > _PROTOCOLS_MAX:
        raise BadHead(400, "Sec-WebSocket-Protocol is a list of a few tokens.")
    return protocols


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
