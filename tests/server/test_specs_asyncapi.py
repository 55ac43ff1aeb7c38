"""The AsyncAPI document: every frame is in it, and what is in it is what goes over the wire.

There is no checker for AsyncAPI 3 that works offline in Python, so its structure is checked here:
the parts that the specification requires, and that every pointer points at something.
"""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.push import Push
from tocsin.protocol.notifications.notification import client_view
from tocsin.protocol.receipts.receipt import Receipt, receipt_fields
from tocsin.server.api.specs.asyncapi import (
    CLIENT_FRAMES,
    EVENTS,
    RECEIPT_EVENTS,
    SERVER_FRAMES,
    asyncapi_document,
)
from tocsin.server.api.specs.examples import FRAMES

DOCUMENT = json.loads(msgspec.json.encode(asyncapi_document()))
MESSAGES = DOCUMENT["components"]["messages"]
OF_RECEIPTS = {each.__name__: name for each, (name, _) in RECEIPT_EVENTS.items()}
DOCUMENT_OF_A_NOTIFICATION = json.dumps(
    {
        "id": "0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1",
        "category": "default",
        "title": "Grüße",
        "body": None,
        "data": {"order": [1042]},
        "url": None,
        "priority": "high",
        "topic": "incidents",
        "revision": 2,
        "created_at": "2026-03-09T08:15:00.000Z",
        "updated_at": "2026-03-09T08:15:00.000Z",
        "expires_at": None,
    }
)


def validator(name: str) -> jsonschema_rs.Validator:
    schema = {**MESSAGES[name]["payload"], "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def pushed(**changes: Any) -> dict[str, Any]:
    """A push, as the server writes it."""
    fields: dict[str, Any] = {
        "sequence": 42,
        "previous": 41,
        "change": "created",
        "attempt": 1,
        "replay": False,
        "unread": 1,
        "unseen": 1,
        "notification_id": "",
        "notification": client_view(DOCUMENT_OF_A_NOTIFICATION, "unseen", None, None),
        "first_sent_at": 0,
        "deadline": 0.0,
    }
    frame: dict[str, Any] = json.loads(frames.encode_push(Push(**{**fields, **changes})))
    return frame


def resolve(pointer: str) -> Any:
    node = DOCUMENT
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_it_has_the_parts_that_asyncapi_3_requires():
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    for server in DOCUMENT["servers"].values():
        assert server.keys() >= {"host", "protocol"}
    for channel in DOCUMENT["channels"].values():
        assert channel["address"].startswith("/v1/")
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        messages = [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
        channel = operation["channel"]["$ref"]
        assert all(each["$ref"].startswith(f"{channel}/messages/") for each in messages)


def test_every_pointer_points_at_something():
    pointers = re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT))
    assert pointers
    for pointer in pointers:
        assert resolve(pointer)


def test_every_frame_of_a_client_is_received():
    received = {
        resolve(each["messages"][0]["$ref"])["$ref"].rpartition("/")[2]
        for each in DOCUMENT["operations"].values()
        if each["action"] == "receive"
    }
    assert received == {each.__name__ for each in get_args(frames.ClientFrame)}


def test_every_frame_of_the_server_is_sent_or_is_a_reply():
    sent = {
        message["$ref"].rpartition("/")[2]
        for each in DOCUMENT["operations"].values()
        if each["channel"]["$ref"] != "#/channels/receipts"
        for message in [
            *(each["messages"] if each["action"] == "send" else []),
            *each.get("reply", {}).get("messages", []),
        ]
    }
    encoded = {each.__name__ for each in get_args(frames.ServerFrame)} | {"PushFrame", "Pong"}
    assert sent == encoded == {each.__name__ for each in SERVER_FRAMES}


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_are_what_they_show(name: str):
    [example] = MESSAGES[name]["examples"]
    validator(name).validate(example["payload"])
    if name not in OF_RECEIPTS:
        assert example["payload"]["type"] == MESSAGES[name]["name"]


def test_the_stream_of_receipts_has_its_events_and_the_goodbye():
    channel = DOCUMENT["channels"]["receipts"]
    told = {name: resolve(each["$ref"])["name"] for name, each in channel["messages"].items()}
    assert told == {**OF_RECEIPTS, "Goodbye": "goodbye"}
    assert channel["x-query"]
    assert DOCUMENT["operations"]["sendReceipts"]["action"] == "send"


def test_a_receipt_is_what_its_schema_says():
    fields = receipt_fields(Receipt(7, "read", "n", "orders", "ada", None, None, 0, None), "e")
    validator("ReceiptView").validate(json.loads(msgspec.json.encode(fields)))


@pytest.mark.parametrize("frame", CLIENT_FRAMES, ids=lambda frame: frame.__name__)
def test_the_server_reads_the_examples_of_client_frames(frame):
    text = json.dumps(FRAMES[frame.__name__])
    assert isinstance(frames.decode_client_frame(text), frame)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"change": "updated", "attempt": 3, "replay": True},
        {"change": "withdrawn"},
        {"change": "state"},
        {"notification": client_view(DOCUMENT_OF_A_NOTIFICATION, "read", 1, 2)},
    ],
)
def test_a_push_is_what_its_schema_says(changes):
    push = pushed(**changes)
    validator("PushFrame").validate(push)
    assert push.keys() == DOCUMENT["components"]["schemas"]["PushFrame"]["properties"].keys()


def test_a_push_that_is_not_is_seen():
    assert not validator("PushFrame").is_valid(pushed(change="deleted"))


def test_a_pong_is_what_its_schema_says():
    validator("Pong").validate(json.loads(frames.PONG))


def test_events_are_frames_of_the_server():
    assert set(EVENTS) < set(SERVER_FRAMES)


def test_every_close_code_is_told():
    told = DOCUMENT["channels"]["websocket"]["x-close-codes"]
    assert [(each["code"], each["reason"]) for each in told] == [
        (int(each), each.word) for each in Closing
    ]
