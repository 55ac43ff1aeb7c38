"""Our frames, judged by wsproto in the client's role."""

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from tocsin.server.websocket.wire_frames import (
    close_echo,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)


def received(data):
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_text_of_any_length_arrives_whole(length):
    text = "é" * (length // 2) + "x" * (length % 2)
    events = received(text_frame(text.encode()))

    assert "".join(event.data for event in events if isinstance(event, TextMessage)) == text
    assert not events or events[-1].message_finished


def test_frames_can_be_joined_in_one_write():
    events = received(text_frame(b"a") + ping_frame(b"p") + text_frame(b"b"))

    assert [type(event) for event in events] == [TextMessage, Ping, TextMessage]


def test_a_ping_carries_its_payload():
    assert received(ping_frame(b"p" * 125)) == [Ping(payload=b"p" * 125)]


def test_a_ping_of_more_than_125_bytes_is_refused():
    with pytest.raises(ValueError, match="125"):
        ping_frame(bytes(126))


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4413, "frame_too_large"), (4000, "é")])
def test_a_close_says_code_and_reason(code, reason):
    frame = close_frame(code, reason)

    assert received(frame) == [CloseConnection(code=code, reason=reason)]


def test_a_long_reason_is_cut_at_a_characters_end():
    (close,) = received(close_frame(4000, "é" * 100))

    assert close.reason == "é" * 61


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 5000])
def test_a_code_that_must_not_be_sent_is_refused(code):
    with pytest.raises(ValueError, match="close code"):
        close_frame(code)


@pytest.mark.parametrize("payload", [b"", b"p" * 125])
def test_a_ping_is_answered_with_its_payload(payload):
    assert received(pong_frame(payload)) == [Pong(payload=payload)]


@pytest.mark.parametrize(("payload", "code"), [(b"", 1005), (b"\x0f\xa0bye", 4000)])
def test_a_close_is_answered_with_what_it_said(payload, code):
    (close,) = received(close_echo(payload))

    assert close.code == code
    assert (close.reason or "").encode() == payload[2:]
