"""The answer to a WebSocket's handshake: RFC 6455 §4.2.2.

The front door has judged the request (`upgrade.check_upgrade`), so there is nothing left here
that could go wrong: who is let in is answered at once, and holds no place while we wait for them.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from tocsin.protocol.frames.frames import SUBPROTOCOLS
from tocsin.server.request_head import RequestHead

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ANSWER: Final = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n"
    "{subprotocol}\r\n"
)
_SUBPROTOCOL: Final = "Sec-WebSocket-Protocol: {name}\r\n"


def switching_protocols(head: RequestHead) -> bytes:
    """The answer that makes a WebSocket of this connection.

    No extension is agreed on, and a subprotocol only if it was offered: a client must not be
    answered one that it has not named.
    """
    key = head.headers.get("sec-websocket-key") or ""
    # Not for secrecy: it only shows that a WebSocket server has read the key.
    digest = hashlib.sha1((key + _GUID).encode("latin-1"), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    name = chosen(head)
    line = "" if name is None else _SUBPROTOCOL.format(name=name)
    return _ANSWER.format(accept=accept, subprotocol=line).encode()


def chosen(head: RequestHead) -> str | None:
    """The subprotocol that is spoken: of those of ours, the first that the client offers."""
    return next((name for name in _offered(head) if name in SUBPROTOCOLS), None)


def subprotocols(head: RequestHead) -> frozenset[str]:
    """Those that the client offers; their names are compared as they are (RFC 6455 §4.1)."""
    return frozenset(_offered(head))


def _offered(head: RequestHead) -> list[str]:
    """In the client's order of preference."""
    offered = ",".join(head.headers.get_all("sec-websocket-protocol")).split(",")
    return [name for each in offered if (name := each.strip(" \t"))]
