"""A client's half of the frames as Protocol Buffers."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tocsin.protocol.frames.protobuf import CLIENT_FRAME, SERVER_FRAME

Frame = dict[str, Any]


def client_bytes(frame: Frame) -> bytes:
    """A client's *frame*, given as its JSON would be."""
    fields = {name: value for name, value in frame.items() if name != "type"}
    if "notification" in fields:
        fields["notification"] = msgspec.Raw(msgspec.json.encode(fields["notification"]))
    return CLIENT_FRAME.encode({frame["type"]: fields})


def server_frame(data: bytes) -> Frame:
    """A server's frame as its JSON would be; what only JSON leaves out is there as well."""
    frame = SERVER_FRAME.decode(data)
    if isinstance(frame.get("notification"), dict):
        frame["notification"] = _opened(frame["notification"])
    return _opened(frame)


def _opened(value: Frame) -> Frame:
    return {
        name: json.loads(bytes(each)) if isinstance(each, msgspec.Raw) else each
        for name, each in value.items()
    }
