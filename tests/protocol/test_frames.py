"""Frames from clients: what is read, and what is malformed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.protocol.frames.frames import (
    ACK_IDS_MAX,
    Ack,
    ClientFrame,
    Hello,
    MalformedFrame,
    Mark,
    Nack,
    Ping,
    Publish,
    Refresh,
    decode_client_frame,
)

ID = "018bcfe5-6800-7000-8000-000000000000"
OTHER = "018bcfe5-6800-7000-8000-000000000001"


def read(kind: str, **fields: Any) -> ClientFrame:
    return decode_client_frame(json.dumps({"type": kind, **fields}))


# --- Good ---------------------------------------------------------------------------------------


def test_hello_may_say_nothing_or_everything():
    assert read("hello") == Hello()
    assert read(
        "hello", device="phone", cursor="e1.5", token="t", window=1024, client="web/1"
    ) == Hello("phone", "e1.5", "t", 1024, "web/1")


def test_nulls_are_as_good_as_nothing():
    assert read("hello", device=None, cursor=None, token=None, window=None) == Hello()
    assert read("ack", sequence=5, ids=None) == Ack(5)
    assert read("nack", id=ID, reason=None, after=None) == Nack(ID)


def test_ack_names_a_sequence_or_ids():
    assert read("ack", sequence=0) == Ack(0)
    assert read("ack", sequence=2**53) == Ack(2**53)
    assert read("ack", ids=[ID, OTHER, ID]) == Ack(ids=[ID, OTHER, ID])
    assert read("ack", ids=[ID] * ACK_IDS_MAX) == Ack(ids=[ID] * ACK_IDS_MAX)


def test_nack_names_a_notification():
    assert read("nack", id=ID, reason="full", after=0) == Nack(ID, "full", 0.0)
    assert read("nack", id=ID, after=3600) == Nack(ID, after=3600.0)


def test_mark_names_a_state_and_which():
    assert read("mark", request="r1", state="read", ids=[ID]) == Mark("r1", "read", [ID])
    assert read("mark", request=7, state="unread", all=True) == Mark(7, "unread", all=True)
    assert read("mark", request=7, state="seen", through="e1.5") == Mark(7, "seen", through="e1.5")


def test_publish_keeps_the_notification_unread():
    text = '{"type":"publish","request":1,"notification":{"title": 5, "x":[]}}'
    frame = decode_client_frame(text)
    assert isinstance(frame, Publish)
    assert bytes(frame.notification) == b'{"title": 5, "x":[]}'
    assert frame.traceparent is None


def test_publish_may_belong_to_a_trace_and_an_unreadable_one_is_no_fault_of_the_frame():
    for trace in ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x" * 5000):
        frame = read("publish", request=1, notification={}, traceparent=trace)
        assert isinstance(frame, Publish)
        assert frame.traceparent == trace


def test_refresh_and_ping():
    assert read("refresh", token="t") == Refresh("t")
    assert read("refresh", token="t", request="r") == Refresh("t", "r")
    assert read("ping") == Ping()


def test_the_type_may_stand_anywhere():
    assert decode_client_frame('{"sequence":5,"type":"ack"}') == Ack(5)


# --- Malformed ----------------------------------------------------------------------------------

BAD = {
    "hello, device with a space": {"type": "hello", "device": "my phone"},
    "hello, device with a newline": {"type": "hello", "device": "phone\n"},
    "hello, empty device": {"type": "hello", "device": ""},
    "hello, window of zero": {"type": "hello", "window": 0},
    "hello, window beyond the limit": {"type": "hello", "window": 1025},
    "hello, window as a fraction": {"type": "hello", "window": 1.5},
    "hello, window is true": {"type": "hello", "window": True},
    "hello, window as text": {"type": "hello", "window": "64"},
    "hello, cursor as a number": {"type": "hello", "cursor": 0},
    "hello, long cursor": {"type": "hello", "cursor": "x" * 65},
    "hello, unknown field": {"type": "hello", "devise": "phone"},
    "ack of nothing": {"type": "ack"},
    "ack of nulls": {"type": "ack", "sequence": None, "ids": None},
    "ack of both": {"type": "ack", "sequence": 1, "ids": [ID]},
    "ack of no ids": {"type": "ack", "ids": []},
    "ack of too many ids": {"type": "ack", "ids": [ID] * (ACK_IDS_MAX + 1)},
    "ack of what is no id": {"type": "ack", "ids": [ID, "n1"]},
    "ack of a capital id": {"type": "ack", "ids": [ID.upper()]},
    "ack of an id with a newline": {"type": "ack", "ids": [ID + "\n"]},
    "ack of a negative sequence": {"type": "ack", "sequence": -1},
    "ack of a sequence as text": {"type": "ack", "sequence": "1"},
    "ack of a sequence as a fraction": {"type": "ack", "sequence": 1.0},
    "ack of a sequence beyond what JavaScript can count": {"type": "ack", "sequence": 2**53 + 1},
    "nack of nothing": {"type": "nack"},
    "nack of what is no id": {"type": "nack", "id": "n1"},
    "nack with a negative delay": {"type": "nack", "id": ID, "after": -1},
    "nack with a long delay": {"type": "nack", "id": ID, "after": 3601},
    "nack with a long reason": {"type": "nack", "id": ID, "reason": "x" * 257},
    "mark without a request": {"type": "mark", "state": "read", "all": True},
    "mark with an empty request": {"type": "mark", "request": "", "state": "read", "all": True},
    "mark with a fraction": {"type": "mark", "request": 1.5, "state": "read", "all": True},
    "mark with an unknown state": {"type": "mark", "request": 1, "state": "withdrawn"},
    "publish without a notification": {"type": "publish", "request": 1},
    "refresh without a token": {"type": "refresh"},
    "ping with a field": {"type": "ping", "at": 1},
    "unknown type": {"type": "subscribe"},
    "a type of the server": {"type": "push"},
    "type in capitals": {"type": "PING"},
    "type is null": {"type": None},
    "no type": {"sequence": 1},
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_malformed_frames(frame):
    with pytest.raises(MalformedFrame):
        decode_client_frame(json.dumps(frame))


TEXTS = {
    "nothing": "",
    "a space": " ",
    "no object": "[]",
    "a word": '"ping"',
    "null": "null",
    "half a frame": '{"type":"ping"',
    "two frames": '{"type":"ping"}{"type":"ping"}',
    "a byte order mark": '\ufeff{"type":"ping"}',
    "single quotes": "{'type':'ping'}",
    "NaN": f'{{"type":"nack","id":"{ID}","after":NaN}}',
    "an infinite number": f'{{"type":"nack","id":"{ID}","after":1e999}}',
    "an endless number": '{"type":"ack","sequence":%s}' % ("9" * 10_000),
    "half a surrogate pair": '{"type":"nack","id":"\\ud800"}',
    "half a surrogate pair, raw": '{"type":"nack","id":"\ud800"}',
    "a control character": '{"type":"nack","id":"\x01"}',
    "two types": '{"type":"ack","sequence":1,"type":"ping"}',
    "deep nesting": "[" * 100_000,
    "deep nesting in a frame": '{"type":"ack","ids":%s}' % ("[" * 100_000),
    "deep nesting in a notification": (
        '{"type":"publish","request":1,"notification":%s}' % ("[" * 20_000 + "]" * 20_000)
    ),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_texts_that_are_no_frames(text):
    with pytest.raises(MalformedFrame):
        decode_client_frame(text)


def test_a_malformed_frame_is_described_in_short_and_without_the_token():
    with pytest.raises(MalformedFrame, match=r"\$\.token") as caught:
        read("refresh", token=["secret"])
    assert "secret" not in str(caught.value)
    with pytest.raises(MalformedFrame) as caught:
        read("x" * 5000)
    assert len(str(caught.value)) <= 200


@given(st.text() | st.text(st.sampled_from('{}[]",:0123456789.-+eE\\u tfnalsepig\ud800')))
@example("\ud800")
def test_any_text_is_a_frame_or_malformed(text):
    with suppress(MalformedFrame):
        decode_client_frame(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(ID),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FRAMES = get_args(ClientFrame)
KINDS = [frame.__struct_config__.tag for frame in FRAMES]
FIELDS = sorted({"type", "extra"}.union(*[frame.__struct_fields__ for frame in FRAMES]))


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_any_fields_are_a_frame_or_malformed(kind, fields):
    with suppress(MalformedFrame):
        decode_client_frame(json.dumps({"type": kind} | fields))


TWICE = {
    "type": '{"type":"ping","type":"ping"}',
    "sequence": '{"type":"ack","sequence":4,"sequence":5}',
    "ids": f'{{"type":"ack","ids":["{ID}"],"ids":["{OTHER}"]}}',
    "state": '{"type":"mark","request":1,"all":true,"state":"read","state":"seen"}',
    "notification": '{"type":"publish","request":1,"notification":{"a":1},"notification":{"a":1}}',
    "device": '{"type":"hello","device":null,"dev\\u0069ce":"phone"}',
}


@pytest.mark.parametrize("name", TWICE)
def test_a_field_that_is_there_twice_is_malformed(name):
    with pytest.raises(MalformedFrame, match=f"the field `{name}` is there more than once"):
        decode_client_frame(TWICE[name])


def test_a_repeated_field_in_a_notification_is_left_to_its_reader():
    notification = '{"title":"a:b","title":"c"}'
    text = f'{{"type":"publish","request":1,"notification":{notification}}}'
    frame = decode_client_frame(text)
    assert isinstance(frame, Publish)
    assert bytes(frame.notification).decode() == notification


@pytest.mark.parametrize("content", ['{"a":1}', '"publish"', "1", "0"])
def test_a_notification_that_is_there_twice_is_malformed_whatever_it_is(content):
    text = f'{{"type":"publish","request":1,"notification":{content},"notification":{content}}}'
    with pytest.raises(MalformedFrame, match="the field `notification` is there more than once"):
        decode_client_frame(text)


@pytest.mark.parametrize("content", ['{"a":1,"a":2}', '"publish"', "1", '{"type":"publish"}'])
def test_the_content_of_a_notification_is_judged_by_its_reader(content):
    frame = decode_client_frame(f'{{"type":"publish","request":1,"notification":{content}}}')
    assert isinstance(frame, Publish)
    assert bytes(frame.notification) == content.encode()
