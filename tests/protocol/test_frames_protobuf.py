"""Frames as Protocol Buffers say what their JSON says, within the same bounds."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.notification_kit import ID
from tests.protocol.protobuf_kit import Frame, client_bytes, server_frame
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.frames import protobuf as frames_protobuf
from tocsin.protocol.frames.frames import ACK_IDS_MAX, MalformedFrame, decode_client_frame
from tocsin.protocol.log.push import Push
from tocsin.protocol.notifications.notification import client_view
from tocsin.protocol.problems import problem
from tocsin.protocol.values import to_rfc3339

ID_HEX = ID.encode().hex()

# Written by another hand: `protobuf` 7.36, from the published file.
CLIENT_BYTES: list[tuple[Frame, str]] = [
    ({"type": "hello"}, "0a00"),
    (
        {
            "type": "hello",
            "device": "phone",
            "cursor": "e1.5",
            "token": "t",
            "window": 1024,
            "client": "web/1 é",
        },
        "0a1d0a0570686f6e65120465312e351a01742080082a087765622f3120c3a9",
    ),
    ({"type": "ack", "sequence": 0}, "12020800"),
    ({"type": "ack", "sequence": 9007199254740992}, "1209088080808080808010"),
    ({"type": "ack", "ids": [ID, ID]}, "124c1224" + ID_HEX + "1224" + ID_HEX + ""),
    (
        {"type": "nack", "id": ID, "reason": "full", "after": 1.5},
        "1a350a24" + ID_HEX + "120466756c6c19000000000000f83f",
    ),
    ({"type": "mark", "request": "r", "state": "archived", "all": True}, "22070a017210052801"),
    (
        {"type": "mark", "request": "r", "state": "read", "ids": [ID]},
        "222b0a017210031a24" + ID_HEX + "",
    ),
    (
        {"type": "publish", "request": "r", "notification": {"title": "x"}, "idempotency_key": "k"},
        "2a150a0172120d7b227469746c65223a2278227d1a016b",
    ),
    (
        {"type": "publish", "request": "r", "notification": {"title": "x"}, "traceparent": "00-a"},
        "2a180a0172120d7b227469746c65223a2278227d220430302d61",
    ),
    ({"type": "refresh", "token": "t", "request": "r"}, "32060a0174120172"),
    ({"type": "ping"}, "3a00"),
]
SERVER_BYTES: list[tuple[Frame, str]] = [
    (
        {
            "type": "welcome",
            "user": "ada",
            "device": "phone",
            "connection": "c1",
            "node": "n1",
            "epoch": "e1",
            "cursor": "e1.5",
            "head": 5,
            "unread": 300,
            "unseen": 0,
            "resumed": True,
            "heartbeat": 25.0,
            "window": 64,
            "resend": {"delay": 10.0, "limit": 5},
        },
        "0a3d0a03616461120570686f6e651a02633122026e312a026531320465312e35380540ac02500159000000000000394060406a0b0900000000000024401005",
    ),
    (
        {
            "type": "push",
            "sequence": 300,
            "previous": 5,
            "change": "updated",
            "attempt": 1,
            "replay": True,
            "unread": 1,
            "unseen": 0,
            "notification": {
                "id": ID,
                "category": "default",
                "title": "Hé",
                "body": None,
                "data": {"a": [1]},
                "url": None,
                "priority": "critical",
                "topic": None,
                "revision": 2,
                "created_at": "2023-11-14T22:13:20.123Z",
                "updated_at": "1970-01-01T00:00:00.000Z",
                "expires_at": "1969-12-31T23:59:59.999Z",
                "state": "unseen",
                "seen_at": None,
                "read_at": None,
            },
        },
        "126608ac021005180220012801300142570a24"
        + ID_HEX
        + "120764656661756c741a0348c3a92a097b2261223a5b315d7d3804480250fbd095ffbc31"
        + "60ffffffffffffffffff016801",
    ),
    ({"type": "counters", "unread": 1, "unseen": 0}, "22020801"),
    (
        {"type": "reply", "request": "r", "ok": True, "result": {"id": "x"}},
        "3a110a017210011a0a7b226964223a2278227d",
    ),
    ({"type": "pong"}, "4200"),
    (
        {
            "type": "goodbye",
            "code": 4400,
            "reason": "malformed",
            "reconnect": False,
            "after": 0.25,
            "detail": "No.",
        },
        "4a1c08b02212096d616c666f726d656421000000000000d03f2a034e6f2e",
    ),
]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMED = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
DEVICES = st.from_regex(r"[A-Za-z0-9._:@-]{1,20}", fullmatch=True)
COUNTS = st.integers(0, 2**53)
UUIDS = st.uuids().map(str)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.integers(-62_135_596_800_000, 253_402_300_799_999)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Frame]:
    """Objects that may lack any of *fields*."""
    return st.fixed_dictionaries({}, optional=fields)


def frame(
    kind: str, optional: st.SearchStrategy[Frame] | None = None, **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[Frame]:
    said = st.fixed_dictionaries(fields)
    return st.builds(
        lambda a, b: {"type": kind, **a, **b}, said, st.just({}) if optional is None else optional
    )


CLIENT_FRAMES = st.one_of(
    frame(
        "hello",
        some(device=DEVICES, cursor=TEXT, token=TEXT, window=st.integers(1, 1024), client=TEXT),
    ),
    frame("ack", sequence=COUNTS),
    frame("ack", ids=st.lists(UUIDS, min_size=1, max_size=5)),
    frame("nack", some(reason=TEXT, after=st.floats(0, 3600)), id=UUIDS),
    frame(
        "mark",
        some(ids=st.lists(NAMED, min_size=1, max_size=5), through=TEXT, all=st.booleans()),
        request=NAMED,
        state=st.sampled_from(["seen", "read", "unread", "archived"]),
    ),
    frame("publish", some(idempotency_key=TEXT), request=NAMED, notification=ANY_JSON),
    frame("refresh", some(request=NAMED), token=TEXT),
    frame("ping"),
)


def known(frame: frames.ClientFrame) -> Any:
    """*frame*, comparable also where it holds JSON that was not looked into."""
    if isinstance(frame, frames.Publish):
        return (frame.request, json.loads(bytes(frame.notification)), frame.idempotency_key)
    return frame


@given(CLIENT_FRAMES)
def test_a_client_says_the_same_in_both(said):
    in_json = decode_client_frame(json.dumps(said))
    in_protobuf = frames_protobuf.decode_client_frame(client_bytes(said))
    assert known(in_protobuf) == known(in_json)


@pytest.mark.parametrize(("said", "data"), CLIENT_BYTES)
def test_another_library_writes_what_is_read(said, data):
    assert client_bytes(said).hex() == data
    read = frames_protobuf.decode_client_frame(bytes.fromhex(data))
    assert known(read) == known(decode_client_frame(json.dumps(said)))


@pytest.mark.parametrize(("said", "data"), SERVER_BYTES)
def test_another_library_reads_what_is_written(said, data):
    read = server_frame(bytes.fromhex(data))
    assert {name: read[name] for name in said} == said
    if said["type"] == "push":
        view = json.dumps(said["notification"]).encode()
        written = frames_protobuf.encode_push(push_of(said, view))
    elif said["type"] == "pong":
        written = frames_protobuf.PONG
    else:
        [type_] = [
            each
            for each in get_args(frames.ServerFrame)
            if each.__struct_config__.tag == said["type"] and each is not frames.ProducerWelcome
        ]
        written = frames_protobuf.encode_server_frame(msgspec.convert(said, type_))
    assert written.hex() == data


# --- Server to client ---------------------------------------------------------------------------


def push_of(fields: Frame, notification: bytes) -> Push:
    counts = {name: fields[name] for name in ("sequence", "previous", "change", "attempt")}
    more = {name: fields[name] for name in ("replay", "unread", "unseen")}
    return Push(
        **counts,
        **more,
        notification_id=ID,
        notification=notification,
        first_sent_at=0,
        deadline=0.0,
    )


@given(
    fields=st.fixed_dictionaries(
        {
            "sequence": st.integers(1, 2**53),
            "previous": COUNTS,
            "change": st.sampled_from(["created", "updated", "withdrawn", "state"]),
            "attempt": st.integers(1, 1000),
            "replay": st.booleans(),
            "unread": COUNTS,
            "unseen": COUNTS,
        }
    ),
    content=st.fixed_dictionaries(
        {
            "title": NAMED,
            "body": st.none() | TEXT,
            "data": ANY_JSON,
            "url": st.none() | NAMED,
            "priority": st.sampled_from(["low", "normal", "high", "critical"]),
            "topic": st.none() | DEVICES,
            "revision": st.integers(1, 2**31),
        }
    ),
    times=st.tuples(TIMES, TIMES, st.none() | TIMES, st.none() | TIMES),
    state=st.sampled_from(["unseen", "seen", "read", "archived", "withdrawn"]),
)
def test_a_push_says_the_same_in_both(fields, content, times, state):
    created_at, updated_at, seen_at, read_at = times
    texts = {"created_at": created_at, "updated_at": updated_at, "expires_at": seen_at}
    texts = {name: at if at is None else to_rfc3339(at) for name, at in texts.items()}
    document = json.dumps({"id": ID, "category": "default", **content, **texts})
    push = push_of(fields, client_view(document, state, seen_at, read_at))
    assert server_frame(frames_protobuf.encode_push(push)) == json.loads(frames.encode_push(push))


SERVER_FRAMES = st.one_of(
    st.builds(
        frames.Welcome,
        *(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, COUNTS, COUNTS, COUNTS, st.booleans()),
        st.floats(0, 1e6),
        st.integers(1, 1024),
        st.builds(frames.Resend, st.floats(0, 1e6), st.integers(1, 100)),
    ),
    st.builds(frames.ProducerWelcome, TEXT, TEXT),
    st.builds(frames.Synced, COUNTS),
    st.builds(frames.Counters, COUNTS, COUNTS),
    st.builds(frames.Reset, TEXT),
    st.builds(frames.Status, TEXT, TEXT),
    st.builds(frames.Reply, TEXT, ok=st.booleans(), result=ANY_JSON),
    st.builds(lambda text: frames.Reply(text, False, problem=problem("not_found", text)), TEXT),
    st.builds(frames.goodbye_of, st.sampled_from(Closing), st.floats(0, 3600), TEXT),
)


@given(SERVER_FRAMES)
def test_a_server_says_the_same_in_both(said):
    in_json = json.loads(frames.encode_server_frame(said))
    in_protobuf = server_frame(frames_protobuf.encode_server_frame(said))
    assert {name: in_protobuf[name] for name in in_json} == in_json
    left_out = {name: value for name, value in in_protobuf.items() if name not in in_json}
    if not isinstance(said, frames.ProducerWelcome):  # which has nothing of a device's welcome
        assert not any(left_out.values()), "only JSON may leave out what says nothing"


def test_the_welcome_of_a_producer_has_no_user():
    said = server_frame(
        frames_protobuf.encode_server_frame(frames.ProducerWelcome(connection="c", node="n"))
    )
    assert (said["user"], said["device"], said["connection"]) == (None, None, "c")


# --- Bad ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"type": "hello", "device": "a b"},
        {"type": "hello", "window": 0},
        {"type": "hello", "window": 1025},
        {"type": "hello", "cursor": "x" * 65},
        {"type": "ack"},
        {"type": "ack", "sequence": 2**53 + 1},
        {"type": "ack", "sequence": 1, "ids": [ID]},
        {"type": "ack", "ids": ["x"]},
        {"type": "ack", "ids": [ID] * (ACK_IDS_MAX + 1)},
        {"type": "nack", "id": "x"},
        {"type": "nack", "id": ID, "after": -1.0},
        {"type": "nack", "id": ID, "after": float("nan")},
        {"type": "nack", "id": ID, "after": float("inf")},
        {"type": "mark", "request": "r"},
        {"type": "mark", "request": "r", "state": "withdrawn"},
        {"type": "mark", "request": "r", "state": "unseen"},
        {"type": "mark", "request": "", "state": "read"},
        {"type": "publish", "request": "r"},
        {"type": "publish", "notification": {}},
        {"type": "refresh", "token": "x" * 8193},
    ],
)
def test_the_bounds_are_those_of_json(said):
    with pytest.raises(MalformedFrame):
        decode_client_frame(json.dumps(said))
    with pytest.raises(MalformedFrame):
        frames_protobuf.decode_client_frame(client_bytes(said))


@pytest.mark.parametrize(
    "data",
    [
        b"",  # no frame
        b"\x42\x00",  # a frame of a later release
        b"\x12",
        b"\x12\x05\x08\x01",  # cut off
        b"\x12\x03\x08\x80\x80",
        b"\x0a\x03\x0a\x01\xff",  # no UTF-8
        b"\x0a\x04\x0a\x03\xed\xa0\x80",  # half a character
        b"\x22\x05\x0a\x01r\x10\x63",  # a state of a later release
        b"{}",
        b"\x0b\x0c",  # groups
        b"\xff" * 64,
    ],
)
def test_bytes_that_are_no_frame_are_malformed(data):
    with pytest.raises(MalformedFrame):
        frames_protobuf.decode_client_frame(data)


def test_of_several_frames_in_a_message_the_last_is_meant():
    ping, ack = client_bytes({"type": "ping"}), client_bytes({"type": "ack", "sequence": 5})
    assert frames_protobuf.decode_client_frame(ack + ping) == frames.Ping()
    assert frames_protobuf.decode_client_frame(ping + ack) == frames.Ack(5)
    assert frames_protobuf.decode_client_frame(ack + ack) == frames.Ack(5)


@given(st.binary(max_size=200))
@example(b"\x12\x03\x08\x80\x00")
def test_any_bytes_are_a_frame_or_malformed(data):
    with suppress(MalformedFrame):
        frames_protobuf.decode_client_frame(data)


@given(st.data(), CLIENT_FRAMES)
def test_a_frame_with_a_byte_changed_is_a_frame_or_malformed(data, said):
    written = bytearray(client_bytes(said))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    with suppress(MalformedFrame):
        frames_protobuf.decode_client_frame(bytes(written))
