"""The frames of the server, as a client reads them.

Lenient where the server is strict: fields and types that a later server adds are passed over, so
that an older client goes on working.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tocsin.protocol.errors import ProtocolError


class NotAFrame(ProtocolError):
    """This is no frame of Tocsin's: something else is at the other end."""


class Welcome(msgspec.Struct, frozen=True):
    """*user* is None for a credential without an inbox, such as an API key."""

    node: str
    user: str | None = None
    device: str | None = None
    epoch: str = ""
    cursor: str = "0"
    unread: int = 0
    heartbeat: float = 25.0
    window: int = 64


class Notification(msgspec.Struct, frozen=True):
    id: str
    title: str
    updated_at: str
    category: str = "default"
    body: str | None = None
    url: str | None = None
    priority: str = "normal"
    state: str = "unseen"
    data: Any = None


class Push(msgspec.Struct, frozen=True):
    sequence: int
    previous: int
    change: str
    notification: Notification
    attempt: int = 1
    replay: bool = False
    unread: int = 0
    unseen: int = 0


class Synced(msgspec.Struct, frozen=True):
    sequence: int


class Reset(msgspec.Struct, frozen=True):
    reason: str


class Status(msgspec.Struct, frozen=True):
    bus: str = "ok"
    store: str = "ok"


class Goodbye(msgspec.Struct, frozen=True):
    code: int
    reason: str
    reconnect: bool
    after: float = 0.0


class Other(msgspec.Struct, frozen=True):
    """A frame that says nothing to this client: a pong, a reply, or one of a later server."""


ServerFrame = Welcome | Push | Synced | Reset | Status | Goodbye | Other


class _Typed(msgspec.Struct, frozen=True):
    type: str


_type: Final = msgspec.json.Decoder(_Typed)
_decoders: Final = {
    "welcome": msgspec.json.Decoder[ServerFrame](Welcome),
    "push": msgspec.json.Decoder[ServerFrame](Push),
    "synced": msgspec.json.Decoder[ServerFrame](Synced),
    "reset": msgspec.json.Decoder[ServerFrame](Reset),
    "status": msgspec.json.Decoder[ServerFrame](Status),
    "goodbye": msgspec.json.Decoder[ServerFrame](Goodbye),
}


def decode_server_frame(text: str | bytes) -> ServerFrame:
    """Read one frame; raises `NotAFrame`."""
    try:
        decoder = _decoders.get(_type.decode(text).type)
        return Other() if decoder is None else decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotAFrame(str(error)[:200]) from None
