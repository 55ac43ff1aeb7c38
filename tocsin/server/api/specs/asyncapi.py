"""The AsyncAPI 3.0 document of the WebSocket and of the stream of events, from the frames' types.

Operations are those of the server, as AsyncAPI wants it: it *receives* what clients send. Pushes
are written by hand where they are sent (`protocol.frames`); `streams.PushFrame` is their type.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from tocsin import __version__
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.notification import Draft
from tocsin.server.api import streams
from tocsin.server.api.specs.examples import FRAMES
from tocsin.server.api.specs.schemas import Schema, components, fields_of, reference
from tocsin.server.websocket.pace import NEWCOMER_BYTES_MAX

Document = dict[str, Any]


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `ping`."""

    type: Literal["pong"]


CLIENT_FRAMES: Final[tuple[type[msgspec.Struct], ...]] = get_args(frames.ClientFrame)
SERVER_FRAMES: Final[tuple[type[msgspec.Struct], ...]] = (
    frames.Welcome,
    frames.ProducerWelcome,
    streams.PushFrame,
    frames.Synced,
    frames.Counters,
    frames.Reset,
    frames.Status,
    frames.Reply,
    Pong,
    frames.Goodbye,
)
EVENTS: Final[tuple[type[msgspec.Struct], ...]] = tuple(
    each for each in SERVER_FRAMES if each not in (frames.ProducerWelcome, frames.Reply, Pong)
)
"""The frames that a stream of events has; an event is named as its frame's type."""

_REPLIES: Final[dict[type, tuple[type, ...]]] = {
    frames.Hello: (frames.Welcome, frames.ProducerWelcome),
    frames.Mark: (frames.Reply,),
    frames.Publish: (frames.Reply,),
    frames.Refresh: (frames.Reply,),
    frames.Ping: (Pong,),
}
_ABOUT: Final = """\
A device says `hello`, is welcomed, and gets a `push` for each change of its user's log, which it \
acknowledges. The contract is the same for the stream of events, except that a device acknowledges \
there by coming back, or over HTTP.
"""
_WEBSOCKET: Final = """\
A WebSocket, with the subprotocol `tocsin.v1.json`; with `tocsin.v1.protobuf` the same frames are \
those of `/tocsin.proto`.
"""


def asyncapi_document() -> Document:
    """The document that describes all frames and events."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tocsin", "version": __version__, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "websocket": _server("ws", _WEBSOCKET),
            "events": _server("http", "A stream of events (SSE)."),
        },
        "channels": {"websocket": _websocket(), "events": _events()},
        "operations": {**_received(), **_sent("websocket"), **_sent("events")},
        "components": {
            "schemas": _schemas(),
            "messages": {each.__name__: _message(each) for each in _ALL},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket"},
            },
        },
    }


_ALL: Final = (*CLIENT_FRAMES, *SERVER_FRAMES)


def _server(protocol: str, about: str) -> Document:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": about,
        "variables": {"host": {"default": "127.0.0.1:8080"}},
        "security": [
            {"$ref": "#/components/securitySchemes/bearer"},
            {"$ref": "#/components/securitySchemes/ticket"},
        ],
    }


def _websocket() -> Document:
    query = {"type": "object", "properties": {"ticket": {"type": "string"}}}
    return {
        "address": "/v1/ws",
        "description": "JSON objects as text, those of clients up to `frame_bytes_max`, by default "
        f"64 KiB; {NEWCOMER_BYTES_MAX >> 10} KiB for the first, which is `hello`. "
        "The last of the server is `goodbye`, and a close frame with the same code follows it.",
        "servers": [{"$ref": "#/servers/websocket"}],
        "messages": _named(_ALL),
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
        "x-close-codes": [
            {
                "code": int(each),
                "reason": each.word,
                "reconnect": each.reconnect,
                "description": each.text,
                "advice": each.advice,
            }
            for each in Closing
        ],
    }


def _events() -> Document:
    return {
        "address": "/v1/inbox/stream",
        "description": "`event` is the frame's type, `data` the frame, and `id` the cursor to come "
        "back with in `Last-Event-ID`. The parameters of the query are in the OpenAPI document.",
        "servers": [{"$ref": "#/servers/events"}],
        "messages": _named(EVENTS),
        "x-query": fields_of(streams.StreamQuery),
    }


def _named(types: tuple[type, ...]) -> Document:
    return {each.__name__: {"$ref": f"#/components/messages/{each.__name__}"} for each in types}


def _received() -> Document:
    operations: Document = {}
    for frame in CLIENT_FRAMES:
        operation = {
            "action": "receive",
            "channel": {"$ref": "#/channels/websocket"},
            "messages": _in_channel("websocket", (frame,)),
        }
        if replies := _REPLIES.get(frame):
            operation["reply"] = {
                "channel": {"$ref": "#/channels/websocket"},
                "messages": _in_channel("websocket", replies),
            }
        operations[f"receive{frame.__name__}"] = operation
    return operations


def _sent(channel: str) -> Document:
    """One operation for all that comes unasked."""
    answered = {each for replies in _REPLIES.values() for each in replies}
    unasked = EVENTS if channel == "events" else tuple(
        each for each in SERVER_FRAMES if each not in answered
    )  # fmt: skip
    return {
        f"send{channel.capitalize()}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": _in_channel(channel, unasked),
        }
    }


def _in_channel(channel: str, types: tuple[type, ...]) -> list[Document]:
    return [{"$ref": f"#/channels/{channel}/messages/{each.__name__}"} for each in types]


def _message(frame: type) -> Document:
    example = FRAMES[frame.__name__]
    return {
        "name": example["type"],
        "title": frame.__name__,
        "summary": (frame.__doc__ or "").strip().splitlines()[0],
        "payload": reference(frame),
        "examples": [{"payload": example}],
    }


def _schemas() -> dict[str, Schema]:
    schemas = components([Draft, *_ALL])
    # A post in a frame is read as a request is, so that its faults are replied to.
    fields = schemas["Publish"]["properties"]
    fields["notification"] = {**fields["notification"], **reference(Draft)}
    return schemas
