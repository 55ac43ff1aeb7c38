"""The AsyncAPI 3.0 document of the WebSocket and of the stream of events, from the frames' types.

Operations are those of the server, as AsyncAPI wants it: it *receives* what clients send. Pushes
are written by hand where they are sent (`protocol.frames`); `streams.PushFrame` is their type.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from tocsin import __version__
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.notifications.notification import Draft
from tocsin.server.api import receipts, streams
from tocsin.server.api.specs.examples import FRAMES
from tocsin.server.api.specs.schemas import Schema, components, fields_of, reference
from tocsin.server.api.specs.webhook_examples import RECEIPT
from tocsin.server.websocket.pace import NEWCOMER_BYTES_MAX

Document = dict[str, Any]


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `ping`."""

    type: Literal["pong"]


class ReceiptsReset(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts are missing in front of the next one."""

    reason: Literal["epoch", "horizon"]


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

RECEIPT_EVENTS: Final[dict[type[msgspec.Struct], tuple[str, dict[str, Any]]]] = {
    receipts.ReceiptView: ("receipt", RECEIPT),
    ReceiptsReset: ("reset", {"reason": "horizon"}),
}
"""The events of the stream of receipts that are no frames: their names, and an example of each."""

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
        "channels": {"websocket": _websocket(), "events": _events(), "receipts": _receipts()},
        "operations": {
            **_received(),
            **_sent("websocket", _UNASKED),
            **_sent("events", EVENTS),
            **_sent("receipts", _OF_RECEIPTS),
        },
        "components": {
            "schemas": _schemas(),
            "messages": {
                **{each.__name__: _message(each) for each in _ALL},
                **{each.__name__: _receipt_message(each) for each in RECEIPT_EVENTS},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket"},
            },
        },
    }


_ALL: Final = (*CLIENT_FRAMES, *SERVER_FRAMES)
_ANSWERED: Final = {each for replies in _REPLIES.values() for each in replies}
_UNASKED: Final = tuple(each for each in SERVER_FRAMES if each not in _ANSWERED)
"""The frames that come over a WebSocket unasked."""
_OF_RECEIPTS: Final[tuple[type, ...]] = (*RECEIPT_EVENTS, frames.Goodbye)


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


def _receipts() -> Document:
    return {
        "address": "/v1/receipts/stream",
        "description": "For producers. `data` is the receipt, and `id` the cursor to come back "
        "with in `Last-Event-ID`. A webhook gets the same receipts, in batches.",
        "servers": [{"$ref": "#/servers/events"}],
        "messages": _named(_OF_RECEIPTS),
        "x-query": fields_of(receipts.ReceiptStreamQuery),
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


def _sent(channel: str, unasked: tuple[type, ...]) -> Document:
    """One operation for all that comes unasked."""
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


def _receipt_message(event: type[msgspec.Struct]) -> Document:
    name, example = RECEIPT_EVENTS[event]
    return {
        "name": name,
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "payload": reference(event),
        "examples": [{"payload": example}],
    }


def _schemas() -> dict[str, Schema]:
    schemas = components([Draft, *_ALL, *RECEIPT_EVENTS])
    # A post in a frame is read as a request is, so that its faults are replied to.
    fields = schemas["Publish"]["properties"]
    fields["notification"] = {**fields["notification"], **reference(Draft)}
    return schemas
