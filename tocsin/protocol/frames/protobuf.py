"""The frames of the WebSocket as Protocol Buffers: the subprotocol `tocsin.v1.protobuf`.

Each frame is what its JSON is, member by member, and is checked by the same types. Free-form
values (`data`, a post, results, problems) are JSON in `bytes`. Numbers of fields are for ever: a
new field takes a new one. Only a node that is asked for this subprotocol imports this module.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from tocsin.protocol.frames import frames
from tocsin.protocol.frames.frames import MalformedFrame
from tocsin.protocol.log.push import Push
from tocsin.protocol.protobuf import (
    BOOL,
    DOUBLE,
    JSON,
    TEXT,
    TIME,
    UINT32,
    UINT64,
    Enumeration,
    Field,
    MalformedProtobuf,
    Message,
    read_varint,
    varint,
)

STATE: Final = Enumeration("State", "unseen", "seen", "read", "unread", "archived", "withdrawn")
CHANGE: Final = Enumeration("Change", "created", "updated", "withdrawn", "state")
PRIORITY: Final = Enumeration("Priority", "low", "normal", "high", "critical")
_STATE, _CHANGE, _PRIORITY = STATE.kind(), CHANGE.kind(), PRIORITY.kind()

# --- Client to server ---------------------------------------------------------------------------

HELLO: Final = Message(
    "Hello",
    Field(1, "device", TEXT, is_optional=True),
    Field(2, "cursor", TEXT, is_optional=True),
    Field(3, "token", TEXT, is_optional=True),
    Field(4, "window", UINT32, is_optional=True),
    Field(5, "client", TEXT, is_optional=True),
)
ACK: Final = Message(
    "Ack",
    Field(1, "sequence", UINT64, is_optional=True),
    Field(2, "ids", TEXT, is_repeated=True),
    fields_max=frames.ACK_IDS_MAX + 1,
)
NACK: Final = Message(
    "Nack",
    Field(1, "id", TEXT),
    Field(2, "reason", TEXT, is_optional=True),
    Field(3, "after", DOUBLE, is_optional=True),
)
MARK: Final = Message(
    "Mark",
    Field(1, "request", TEXT),
    Field(2, "state", _STATE),
    Field(3, "ids", TEXT, is_repeated=True),
    Field(4, "through", TEXT, is_optional=True),
    Field(5, "all", BOOL),
    fields_max=frames.ACK_IDS_MAX + 4,
)
PUBLISH: Final = Message(
    "Publish",
    Field(1, "request", TEXT),
    Field(2, "notification", JSON),
    Field(3, "idempotency_key", TEXT, is_optional=True),
    Field(4, "traceparent", TEXT, is_optional=True),
)
REFRESH: Final = Message(
    "Refresh", Field(1, "token", TEXT), Field(2, "request", TEXT, is_optional=True)
)
PING: Final = Message("Ping")
CLIENT_FRAME: Final = Message(
    "ClientFrame",
    Field(1, "hello", HELLO),
    Field(2, "ack", ACK),
    Field(3, "nack", NACK),
    Field(4, "mark", MARK),
    Field(5, "publish", PUBLISH),
    Field(6, "refresh", REFRESH),
    Field(7, "ping", PING),
    is_choice=True,
)

# --- Server to client ---------------------------------------------------------------------------

NOTIFICATION: Final = Message(
    "Notification",
    Field(1, "id", TEXT),
    Field(2, "category", TEXT),
    Field(3, "title", TEXT),
    Field(4, "body", TEXT, is_optional=True),
    Field(5, "data", JSON, is_optional=True),
    Field(6, "url", TEXT, is_optional=True),
    Field(7, "priority", _PRIORITY),
    Field(8, "topic", TEXT, is_optional=True),
    Field(9, "revision", UINT64),
    Field(10, "created_at", TIME),
    Field(11, "updated_at", TIME),
    Field(12, "expires_at", TIME, is_optional=True),
    Field(13, "state", _STATE),
    Field(14, "seen_at", TIME, is_optional=True),
    Field(15, "read_at", TIME, is_optional=True),
)
RESEND: Final = Message("Resend", Field(1, "delay", DOUBLE), Field(2, "limit", UINT32))
WELCOME: Final = Message(
    "Welcome",
    Field(1, "user", TEXT, is_optional=True),
    Field(2, "device", TEXT, is_optional=True),
    Field(3, "connection", TEXT),
    Field(4, "node", TEXT),
    Field(5, "epoch", TEXT),
    Field(6, "cursor", TEXT),
    Field(7, "head", UINT64),
    Field(8, "unread", UINT64),
    Field(9, "unseen", UINT64),
    Field(10, "resumed", BOOL),
    Field(11, "heartbeat", DOUBLE),
    Field(12, "window", UINT32),
    Field(13, "resend", RESEND),
)
PUSH: Final = Message(
    "Push",
    Field(1, "sequence", UINT64),
    Field(2, "previous", UINT64),
    Field(3, "change", _CHANGE),
    Field(4, "attempt", UINT32),
    Field(5, "replay", BOOL),
    Field(6, "unread", UINT64),
    Field(7, "unseen", UINT64),
    Field(8, "notification", NOTIFICATION),
)
SYNCED: Final = Message("Synced", Field(1, "sequence", UINT64))
COUNTERS: Final = Message("Counters", Field(1, "unread", UINT64), Field(2, "unseen", UINT64))
RESET: Final = Message("Reset", Field(1, "reason", TEXT))
STATUS: Final = Message("Status", Field(1, "bus", TEXT), Field(2, "store", TEXT))
REPLY: Final = Message(
    "Reply",
    Field(1, "request", TEXT),
    Field(2, "ok", BOOL),
    Field(3, "result", JSON, is_optional=True),
    Field(4, "problem", JSON, is_optional=True),
)
_PONG: Final = Message("Pong")
GOODBYE: Final = Message(
    "Goodbye",
    Field(1, "code", UINT32),
    Field(2, "reason", TEXT),
    Field(3, "reconnect", BOOL),
    Field(4, "after", DOUBLE),
    Field(5, "detail", TEXT),
)
SERVER_FRAME: Final = Message(
    "ServerFrame",
    Field(1, "welcome", WELCOME),
    Field(2, "push", PUSH),
    Field(3, "synced", SYNCED),
    Field(4, "counters", COUNTERS),
    Field(5, "reset", RESET),
    Field(6, "status", STATUS),
    Field(7, "reply", REPLY),
    Field(8, "pong", _PONG),
    Field(9, "goodbye", GOODBYE),
    is_choice=True,
)
ENUMERATIONS: Final = (STATE, CHANGE, PRIORITY)
MESSAGES: Final = (
    *(CLIENT_FRAME, HELLO, ACK, NACK, MARK, PUBLISH, REFRESH, PING),
    *(SERVER_FRAME, WELCOME, RESEND, PUSH, NOTIFICATION, SYNCED, COUNTERS, RESET, STATUS, REPLY),
    *(_PONG, GOODBYE),
)
"""All of the `.proto` file, in its order."""


def decode_client_frame(data: bytes) -> frames.ClientFrame:
    """Read one frame; raises `MalformedFrame`."""
    if (sequence := _acknowledged(data)) is not None:
        return frames.Ack(sequence)
    try:
        value = CLIENT_FRAME.decode(data)
        frame: frames.ClientFrame = msgspec.convert(value, frames.ClientFrame)
    except (MalformedProtobuf, msgspec.ValidationError) as error:
        raise MalformedFrame(str(error)[:200]) from None
    return frames.checked(frame)


def _acknowledged(data: bytes) -> int | None:
    """The sequence of an `ack` that has nothing else, as nearly all frames of devices are."""
    if len(data) < 4 or data[0] != 0x12 or data[2] != 0x08 or data[1] != len(data) - 2:
        return None
    try:
        sequence, end = read_varint(data, 3)
    except MalformedProtobuf:
        return None  # said by the table's decoder
    return sequence if end == len(data) and sequence <= frames.SEQUENCE_MAX else None


def encode_server_frame(frame: frames.ServerFrame) -> bytes:
    """The bytes of a frame that is not a push."""
    return _framed(str(frame.__struct_config__.tag), frame)


_CHANGE_FIELDS: Final = {word: b"\x18" + varint(n) for word, n in CHANGE.numbers.items()}


def encode_push(push: Push) -> bytes:
    """The frame of *push*: by hand, because pushes are the most of what is said."""
    notification = _notification(push.notification)
    content = b"".join(
        (
            b"\x08",
            varint(push.sequence),
            b"\x10" + varint(push.previous) if push.previous else b"",
            _CHANGE_FIELDS[push.change],
            b"\x20",
            varint(push.attempt),
            b"\x28\x01" if push.replay else b"",
            b"\x30" + varint(push.unread) if push.unread else b"",
            b"\x38" + varint(push.unseen) if push.unseen else b"",
            notification,
        )
    )
    return b"\x12" + varint(len(content)) + content


@lru_cache(maxsize=64)
def _notification(view: bytes) -> bytes:
    """The field of a push for the notification with this JSON: made once for all devices of a
    fan-out, and for what is sent again. So many are kept: 5 MB, if all are as large as can be."""
    return PUSH.fields[7].write(msgspec.json.decode(view))


def _framed(kind: str, value: Any) -> bytes:
    return _SERVER_FIELDS[kind].write(value)


_SERVER_FIELDS: Final = {each.name: each for each in SERVER_FRAME.fields}
PONG: Final = _framed("pong", {})
