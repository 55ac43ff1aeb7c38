"""The subprotocol `tocsin.v1.protobuf`: the conversation is that of JSON, frame by frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.typing import Subprotocol

from servers.node import PATIENCE
from tests.protocol.protobuf_kit import client_bytes, server_frame
from tests.system.device_kit import Device, Frame
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user
from tocsin.protocol.frames.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF

pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")

OF_ITS_OWN = frozenset(
    {"user", "connection", "id", "request", "cursor", "epoch", "created_at", "updated_at"}
    | {"expires_at", "seen_at", "read_at", "head", "sequence", "previous", "after"}
)
"""Values that no two conversations share."""


class ProtobufDevice(Device):
    """A device that speaks Protocol Buffers."""

    def send(self, type_: str, **fields: Any) -> None:
        self.socket.send(client_bytes({"type": type_, **fields}))

    def receive(self, patience: float = PATIENCE) -> Frame:
        data = self.socket.recv(patience)
        assert isinstance(data, bytes)
        frame = server_frame(data)
        self.seen.append(frame)
        return frame


def connect(server: Server, user: str, subprotocol: str) -> Device:
    device = server.connect(user, subprotocols=[Subprotocol(subprotocol)])
    assert device.socket.subprotocol == subprotocol
    return device if subprotocol == SUBPROTOCOL_JSON else ProtobufDevice(device.socket)


def comparable(frame: Frame) -> str:
    return json.dumps(told(frame), sort_keys=True)


def told(value: Any) -> Any:
    """*value* without what only JSON leaves out, and with each value of its own as its type."""
    if isinstance(value, list):
        return [told(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: type(each).__name__ if name in OF_ITS_OWN else told(each)
        for name, each in value.items()
        if each is not None and each != ""
    }


def conversation(server: Server, producer: Producer, subprotocol: str) -> list[Frame]:
    """All that a device hears in a session that has everything in it."""
    ada = fresh_user("ada")
    first = producer.post(ada, title="before", data={"a": [1, None, "é"]}, priority="high")
    with connect(server, ada, subprotocol) as device:
        device.hello("phone", cursor="0", window=7, client="test")
        device.expect_welcome()
        device.ack(device.expect_push("before"))
        device.expect_synced()
        second = producer.post(ada, title="live", body="text", url="https://a.example/", ttl=900)
        device.ack_ids(device.expect_push("live"))
        producer.update(first, title="after")
        device.nack(device.expect_push("after"), after=0.0, reason="full")
        device.ack(device.expect_push("after"))
        producer.withdraw(second)
        device.ack(device.expect_push())
        device.send("mark", request="m", state="read", ids=[first])
        # The change of state is not announced in one order with the answer.
        assert {device.receive()["type"], device.receive()["type"]} == {"push", "reply"}
        device.send("mark", request="n", state="read")
        device.expect("reply", request="n", ok=False)
        device.send("publish", request="p", notification={"title": "x"})
        device.expect("reply", request="p", ok=False)
        device.expect_nothing_before_pong()
        device.send("ack", sequence=2**53)
        device.expect_goodbye(4400)
        return device.seen


def test_a_conversation_is_the_same_in_both(server: Server, producer: Producer):
    in_json = conversation(server, producer, SUBPROTOCOL_JSON)
    in_protobuf = conversation(server, producer, SUBPROTOCOL_PROTOBUF)
    assert sorted(map(comparable, in_protobuf)) == sorted(map(comparable, in_json))


def test_the_first_subprotocol_that_both_know_is_spoken(server: Server, ada):
    offered = ["other.v9", SUBPROTOCOL_PROTOBUF, SUBPROTOCOL_JSON]
    with server.connect(ada, subprotocols=[Subprotocol(each) for each in offered]) as device:
        assert device.socket.subprotocol == SUBPROTOCOL_PROTOBUF
        device.socket.send(client_bytes({"type": "hello", "device": "phone"}))
        assert server_frame(bytes(device.socket.recv(PATIENCE)))["type"] == "welcome"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type":"ping"}', 4400),
        (b"", 4400),
        (b"\x12\x03\x08\x80\x80", 4400),
        (b"\xff" * 1000, 4400),
        (b"\x12\x00" * 30_000, 4400),
        (b"\x0a" * 65_537, 4413),
    ],
)
def test_bytes_that_are_no_frame_are_answered_as_in_json(server: Server, ada, message, code):
    with connect(server, ada, SUBPROTOCOL_PROTOBUF) as device:
        device.hello()
        device.expect_welcome()
        device.expect_synced()
        device.socket.send(message)
        device.expect_goodbye(code)


def test_the_file_is_published(server: Server):
    answer = server.http.get("/tocsin.proto")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "message ServerFrame {\n  oneof frame {\n    Welcome welcome = 1;" in answer.text
