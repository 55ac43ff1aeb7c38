"""WebSocket frames that should not be: goodbye with the right code, and nobody else notices."""

from __future__ import annotations

import json
import struct
import time
from typing import Any
from uuid import uuid4

import pytest

from servers.tokens import token
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer
from tests.system.raw_kit import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Wire,
    frame,
)
from tests.system.server_kit import Server, fresh_user

pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")
UUID = "0197f0a8-0000-7000-8000-000000000000"


@pytest.fixture
def wire(server: Server, ada):
    """A device that has said hello, on the level of bytes."""
    with Wire(server) as wire:
        wire.upgrade(ada)
        wire.say("hello", device="phone")
        assert wire.read_text()["type"] == "welcome"
        assert wire.read_text()["type"] == "synced"
        yield wire


@pytest.fixture
def bystander(server: Server, producer: Producer, ada):
    """Another device of the same user, which must not notice."""
    with server.device(ada, "bystander") as device:
        device.expect_synced()
        yield device
        producer.post(ada, title="for the bystander")
        while device.expect_push()["notification"]["title"] != "for the bystander":
            pass


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "null", "[]", '"hello"', "7", "{}", '{"type":null}', '{"type":7}',
     '{"type":"nonsense"}', '{"type":"welcome"}', '{"type":"push"}', '{"type":"hello"} x',
     '{"type":"ping","x":1}', '{"type":"ack"}', '{"type":"ack","sequence":null}',
     '{"type":"ack","sequence":"1"}', '{"type":"ack","sequence":-1}',
     '{"type":"ack","sequence":0.5}',
     '{"type":"ack","sequence":1e999}', '{"type":"ack","sequence":' + "9" * 40 + "}",
     '{"type":"ack","sequence":0,"ids":["' + UUID + '"]}', '{"type":"ack","ids":[]}',
     '{"type":"ack","ids":"x"}', '{"type":"ack","ids":["x"]}', '{"type":"ack","ids":[null]}',
     '{"type":"ack","sequence":0,"extra":1}', '{"type":"nack"}', '{"type":"nack","id":7}',
     '{"type":"nack","id":"x"}', '{"type":"nack","id":"' + UUID + '","after":-1}',
     '{"type":"nack","id":"' + UUID + '","after":1e9}',
     '{"type":"nack","id":"' + UUID + '","after":NaN}',
     '{"type":"mark"}', '{"type":"publish"}', '{"type":"publish","request":"r"}',
     '{"type":"publish","notification":{}}', '{"type":"publish","request":null,"notification":{}}',
     '{"type":"publish","request":' + "9" * 10_000 + ',"notification":{}}', '{"type":"refresh"}',
     '{"type":"ack","sequence":' + "[" * 10_000, '{"type":' * 1500, "[" * 16_000, "\\ud800",
     '{"type":"ping","type":"nonsense"}', '{"type":"\\ud800"}', "\ufeff{}", "\u0000"],
)  # fmt: skip
def test_a_frame_that_is_none_of_ours_ends_the_session(phone: Device, bystander: Device, text):
    phone.socket.send(text)
    assert phone.expect_goodbye(4400)["reason"] == "malformed"


@pytest.mark.parametrize(
    "hello",
    [{"device": ""}, {"device": "a b"}, {"device": "x" * 129}, {"device": 7}, {"device": "a\n"},
     {"device": "\u0000"}, {"window": 0}, {"window": 1025}, {"window": -1}, {"window": 1.5},
     {"window": "64"}, {"cursor": 0}, {"cursor": "x" * 65}, {"token": 7}, {"client": "x" * 300},
     {"nonsense": True}, {"type": "hello2"}],
)  # fmt: skip
def test_a_bad_hello_opens_no_session(server: Server, ada, hello):
    with server.connect(ada) as device:
        device.socket.send(json.dumps({"type": "hello", **hello}))
        device.expect_goodbye(4400)


@pytest.mark.parametrize("first", ["ack", "ping", "publish"])
def test_the_first_frame_is_hello(server: Server, ada, first):
    fields: dict[str, dict[str, Any]] = {
        "ack": {"sequence": 0},
        "ping": {},
        "publish": {"request": 1, "notification": {}},
    }
    with server.connect(ada) as device:
        device.send(first, **fields[first])
        device.expect_goodbye(4400)


def test_hello_is_said_once(phone: Device, bystander: Device):
    phone.hello("phone")
    phone.expect_goodbye(4400)


def test_a_second_hello_at_once_is_one_too_many(server: Server, ada):
    with server.connect(ada) as device:
        device.hello("phone")
        device.hello("phone")
        device.expect_goodbye(4400)


@pytest.mark.parametrize("ahead", [1, 1000, 2**53])
def test_an_ack_of_what_was_never_sent_ends_the_session(
    phone: Device, bystander: Device, producer: Producer, ada, ahead
):
    producer.post(ada)
    phone.ack(phone.expect_push()["sequence"] + ahead)
    phone.expect_goodbye(4400)


def test_an_ack_of_what_waits_behind_the_window_is_an_ack_of_what_was_never_sent(
    server: Server, producer: Producer, ada
):
    with server.device(ada, window=1) as phone:
        phone.expect_synced()
        for _ in range(3):
            producer.post(ada)
        phone.expect_push(sequence=1)
        phone.expect_nothing_before_pong()
        phone.ack(3)
        phone.expect_goodbye(4400)
    with server.device(ada) as phone:
        assert [phone.expect_push()["sequence"] for _ in range(3)] == [1, 2, 3]


def test_acks_by_id_of_what_was_never_sent_do_nothing(
    server: Server, phone: Device, producer: Producer, ada
):
    eves = producer.post(fresh_user("eve"))
    phone.ack_ids(UUID, eves)
    phone.send("nack", id=eves)
    phone.expect_nothing_before_pong()
    assert producer.ledger(eves) == {}


def test_a_frame_behind_the_end_is_not_carried_out(server: Server, ada):
    """One segment: a frame that ends the session, and a publish behind it."""
    notification = {"to": {"users": [ada]}, "title": "behind the end"}
    publish = {"type": "publish", "request": 1, "notification": notification}
    with Wire(server) as wire:
        wire.upgrade(headers=[f"Authorization: Bearer {token(ada, 'notify')}"])
        wire.say("hello", device="phone")
        assert wire.read_text()["type"] == "welcome"
        wire.send(frame(TEXT, b"nonsense") + frame(TEXT, json.dumps(publish).encode()))
        wire.read_to_end()
    with server.device(ada) as phone:
        phone.expect_synced()
        phone.expect_nothing_before_pong()


# --- Bytes ----------------------------------------------------------------------------------------


def test_binary_frames_are_not_spoken(wire: Wire, bystander: Device):
    wire.send(frame(BINARY, b'{"type":"ping"}'))
    wire.expect_goodbye(4400)


@pytest.mark.parametrize("text", [b"\xff", b'{"type":"\xc3"}', b"\xed\xa0\x80", b"\xc0\x80"])
def test_text_that_is_not_utf8_ends_the_session(wire: Wire, bystander: Device, text):
    wire.send(frame(TEXT, text))
    wire.expect_goodbye(4400)


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b'{"type":"ping"}', masked=False),
        frame(0x3, b""),
        frame(0xB, b""),
        bytes((0xC1, 0x80)) + bytes(4),  # a reserved bit
        frame(PING, b"x" * 126),
        frame(PING, b"", final=False),
        frame(CONTINUATION, b"x"),
        frame(TEXT, b"x", final=False) + frame(TEXT, b"x"),
        bytes((0x81, 0xFF)) + struct.pack(">Q", 1 << 63) + bytes(4),
        bytes((0x81, 0xFE)) + struct.pack(">H", 5) + bytes(4) + b"short",
    ],
    ids=["unmasked", "reserved opcode", "reserved control", "reserved bit", "long ping",
         "ping in parts", "continuing nothing", "text in text", "negative length",
         "length in a long form"],
)  # fmt: skip
def test_frames_against_the_standard_end_the_session(wire: Wire, bystander: Device, data):
    wire.send(data)
    rest = wire.read_to_end()
    assert b'"goodbye"' in rest
    assert struct.pack(">H", 4400) in rest or struct.pack(">H", 4413) in rest


FRAME_BYTES_MAX = 64 * 1024


def test_a_frame_of_the_largest_size_is_read(wire: Wire):
    text = b'{"type":"ping"}'
    wire.send(frame(TEXT, text + b" " * (FRAME_BYTES_MAX - len(text))))
    assert wire.read_text() == {"type": "pong"}


@pytest.mark.parametrize("size", [FRAME_BYTES_MAX + 1, 1 << 20, 16 << 20])
def test_a_frame_that_is_too_large_is_told_so(wire: Wire, bystander: Device, size):
    wire.send(frame(TEXT, b'{"type":"ping"}'.ljust(size)))
    wire.expect_goodbye(4413)


def test_a_frame_that_is_announced_too_large_is_not_waited_for(wire: Wire, bystander: Device):
    wire.send(bytes((0x81, 0xFF)) + struct.pack(">Q", 1 << 40) + bytes(4) + b"x" * 20_000)
    wire.expect_goodbye(4413)


def test_a_message_that_is_too_large_in_parts_is_told_so(wire: Wire, bystander: Device):
    wire.send(frame(TEXT, b" " * 8192, final=False))
    for _ in range(8):
        wire.send(frame(CONTINUATION, b" " * 8192, final=False))
    wire.expect_goodbye(4413)


def test_a_message_in_many_parts_is_one_message(wire: Wire):
    text = b'{"type":"ping"}'
    wire.send(frame(TEXT, text[:1], final=False))
    for index in range(1, len(text)):
        wire.send(frame(CONTINUATION, text[index : index + 1], final=False))
        wire.send(frame(PING, b"between"))
    wire.send(frame(CONTINUATION, b""))
    pongs = 0
    while True:
        opcode, payload = wire.read_frame()
        if opcode == TEXT:
            break
        assert (opcode, payload) == (PONG, b"between")
        pongs += 1
    assert json.loads(payload) == {"type": "pong"}
    assert pongs == len(text) - 1


def test_a_million_empty_parts_are_refused_and_cost_nothing(
    server: Server, wire: Wire, bystander: Device
):
    before = server.process.memory_info().rss
    wire.send(frame(TEXT, b"", final=False))
    empty = frame(CONTINUATION, b"", final=False) * 1000
    for _ in range(50):
        wire.send(empty)
    wire.expect_goodbye(4400)
    assert server.process.memory_info().rss - before < 30 << 20


def test_a_frame_may_have_all_ids_that_are_documented(server: Server, ada):
    """1 024 ids in an ack and 500 in a mark, which is what may be said at most."""
    ids = [str(uuid4()) for _ in range(1024)]
    with server.device(ada) as phone:
        phone.expect_synced()
        phone.send("ack", ids=ids)
        phone.send("mark", request=1, state="read", ids=ids[:500])
        assert phone.expect("reply", request=1)["ok"]


# --- The last word --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        (frame(TEXT, b'{"type":"nonsense"}'), "nonsense"),
        (frame(TEXT, b'{"type":"ack","ids":["x"]}'), "ids"),
        (frame(TEXT, b'{"type":"ack","sequence":99}'), "99"),
        (frame(BINARY, b"x"), "binary"),
        (frame(TEXT, b"x" * (FRAME_BYTES_MAX + 1)), str(FRAME_BYTES_MAX)),
        (frame(TEXT, b'{"type":"hello"}'), "once"),
        (frame(TEXT, b'{"type":"refresh","token":"a.b.c"}'), "token"),
        (frame(PONG, b"") * 5000, "a second"),
    ],
)
def test_a_goodbye_says_what_was_wrong(wire: Wire, wrong, detail):
    wire.send(wrong)
    goodbye = wire.read_text()
    while goodbye["type"] != "goodbye":
        goodbye = wire.read_text()
    assert detail in goodbye["detail"]
    assert "a.b.c" not in goodbye["detail"]
    assert len(goodbye["detail"]) <= 256


@pytest.mark.parametrize("wrong", [frame(0x3, b""), frame(TEXT, b"{"), frame(BINARY, b"x")])
def test_the_last_word_reaches_a_client_that_goes_on_talking(server: Server, ada, wrong):
    """Forty times a bad frame, and then a ping each millisecond: no reset destroys the goodbye."""
    resets = 0
    for attempt in range(40):
        with Wire(server) as wire:
            wire.upgrade(ada)
            wire.say("hello", device=f"phone-{attempt % 4}")
            assert wire.read_text()["type"] == "welcome"
            wire.send(wrong)
            try:
                for _ in range(30):
                    wire.socket.sendall(frame(PING, b""))
                    time.sleep(0.001)  # waits for: the next millisecond
            except ConnectionError:
                resets += 1
            wire.expect_goodbye(4400)
    assert not resets


def test_one_byte_at_a_time_is_a_frame_too(wire: Wire):
    for byte in frame(TEXT, b'{"type":"ping"}'):
        wire.send(bytes((byte,)))
    assert wire.read_text() == {"type": "pong"}


@pytest.mark.parametrize("code", [1000, 1001, 4000, 3000])
def test_a_client_may_close(wire: Wire, bystander: Device, code):
    wire.send(frame(CLOSE, struct.pack(">H", code)))
    opcode, payload = wire.read_frame()
    assert (opcode, payload[:2]) == (CLOSE, struct.pack(">H", code))
    assert wire.read_to_end() == b""


@pytest.mark.parametrize("payload", [b"", b"\x03", struct.pack(">H", 1005), b"\x03\xe8\xff"])
def test_a_strange_close_closes_too(wire: Wire, bystander: Device, payload):
    wire.send(frame(CLOSE, payload))
    wire.read_to_end()


def test_frames_behind_a_close_are_not_heard(server: Server, wire: Wire, producer, ada):
    wire.send(frame(CLOSE, struct.pack(">H", 1000)) + frame(TEXT, b'{"type":"ping"}'))
    assert b"pong" not in wire.read_to_end()
