"""The frames of the load's devices, held against wsproto."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from tocsin.load.wire import TEXT, take_frames, text_frame

payloads = st.lists(st.text(max_size=300) | st.just("x" * 70_000), max_size=5)


@given(st.text(max_size=20_000).map(str.encode).filter(lambda data: len(data) < 65_536))
def test_a_server_reads_what_a_device_writes(payload):
    server = FrameProtocol(client=False, extensions=[])
    server.receive_bytes(text_frame(payload))
    (frame,) = server.received_frames()
    assert frame.opcode is Opcode.TEXT
    assert frame.payload == payload.decode()
    assert frame.message_finished


@given(payloads, st.integers(1, 5000))
def test_a_device_reads_what_a_server_writes_however_it_is_cut(texts, size):
    server = FrameProtocol(client=False, extensions=[])
    stream = b"".join(server.send_data(text, fin=True) for text in texts)
    buffer, found = bytearray(), list[tuple[int, bytes]]()
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        found += take_frames(buffer)
    assert found == [(TEXT, text.encode()) for text in texts]
    assert not buffer
