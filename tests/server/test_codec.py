"""The codec of a connection is chosen by its subprotocol."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.protocol.protobuf_kit import client_bytes, server_frame
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.server.api.specs.proto import proto_file
from tocsin.server.websocket.codec import JSON, codec_of
from tocsin.server.websocket.ended import Ended


def test_json_is_spoken_unless_something_else_was_agreed_on():
    assert codec_of(None) is codec_of(frames.SUBPROTOCOL_JSON) is JSON
    assert JSON.decode('{"type":"ping"}') == frames.Ping()
    assert JSON.farewell(Closing.SLOW)[0] == 0x81


def test_protobuf_is_spoken_in_binary_messages():
    codec = codec_of(frames.SUBPROTOCOL_PROTOBUF)
    assert codec.is_binary
    assert codec.decode(client_bytes({"type": "ping"})) == frames.Ping()
    farewell = codec.farewell(Closing.SLOW, 1.5)
    length = farewell[1]
    assert farewell[0] == 0x82
    assert server_frame(farewell[2 : 2 + length])["code"] == int(Closing.SLOW)


@pytest.mark.parametrize(
    ("codec", "message"), [(JSON, "{"), (codec_of(frames.SUBPROTOCOL_PROTOBUF), b"\x12")]
)
def test_a_frame_that_is_none_ends_the_connection(codec, message):
    with pytest.raises(Ended) as ended:
        codec.decode(message)
    assert ended.value.refusal.closing is Closing.MALFORMED


def test_the_published_file_has_all_frames():
    text = proto_file()
    assert text.count("oneof frame {") == 2
    assert "  optional bytes data = 5;  // JSON\n" in text
    assert "  int64 created_at = 10;  // Unix milliseconds\n" in text
    assert "  PRIORITY_CRITICAL = 4;\n" in text


def test_a_node_that_speaks_json_does_not_import_it():
    look = "import sys, tocsin.node; print([m for m in sys.modules if 'protobuf' in m])"
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
