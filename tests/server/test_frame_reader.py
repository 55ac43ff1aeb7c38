"""The reader of plain messages, judged by wsproto: together they read what wsproto reads alone."""

import functools
import operator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from tests.server.edge import masked
from tocsin.server.frame_reader import FrameReader

LIMIT = 300
ACK = b'{"type":"ack","sequence":1}'


@dataclass
class Judge:
    """wsproto, as a server; what it has read so far."""

    messages: list[str | bytes] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ended: bool = False
    _connection: Connection = field(default_factory=lambda: Connection(ConnectionType.SERVER))
    _begun: list[Any] = field(default_factory=list)

    def read(self, data: bytes) -> None:
        if not self.ended:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._note(event)

    def _note(self, event):
        if not isinstance(event, TextMessage | BytesMessage):
            self.others.append(repr(event))
            self.ended = isinstance(event, CloseConnection)
            return
        self._begun.append(event.data)
        if event.message_finished:
            self.messages.append(functools.reduce(operator.add, self._begun))
            self._begun.clear()


def with_mask(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def frame(first: int, payload: bytes, mask: bytes | None, *, width: int | None = None) -> bytes:
    """A frame with *first* as its first byte, and its length in so many bytes."""
    width = width or (1 if len(payload) <= 125 else 2)
    head = {1: b"", 2: b"\x7e", 8: b"\x7f"}[width] + len(payload).to_bytes(width, "big")
    if mask is None:
        return bytes((first,)) + head + payload
    return bytes((first, head[0] | 0x80)) + head[1:] + mask + with_mask(payload, mask)


masks = st.sampled_from([b"\0\0\0\0", b"\x12\xfe\x80\x07"])
texts = st.sampled_from([b"", b"x", ACK, "naïve €".encode(), b"x" * LIMIT])
plain = st.builds(frame, st.just(0x81), texts, masks)
control = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.sampled_from([b"", b"p"]), masks)
strange = st.one_of(
    st.builds(frame, st.sampled_from([0x82, 0x80, 0x88, 0xC1, 0xA9, 0x83, 0x09]), texts, masks),
    st.builds(frame, st.just(0x81), texts, st.none()),
    st.builds(frame, st.sampled_from([0x81, 0x89]), st.just(b"x"), masks, width=st.just(2)),
    st.builds(frame, st.just(0x81), st.just(ACK), masks, width=st.just(8)),
    st.builds(frame, st.just(0x81), st.sampled_from([b"x" * (LIMIT + 1), b"\xc3"]), masks),
    st.just(masked(1, b"a", first=0x01) + masked(9, b"") + masked(0, b"b")),
    st.just(masked(8, b"\x03\xe8bye")),
)
usual = st.lists(st.one_of(plain, plain, control), max_size=5).map(b"".join)
streams = st.tuples(usual, st.one_of(st.just(b""), strange), usual).map(b"".join)


@given(streams, st.data())
def test_what_is_cut_out_and_what_is_left_are_what_wsproto_reads(stream, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    wanted_from = data.draw(st.integers(0, len(cuts)))
    alone, second, reader = Judge(), Judge(), FrameReader(LIMIT)
    messages: list[str | bytes] = []

    alone.read(stream)
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(stream)], strict=True)):
        found, left = reader.read(stream[start:end], cut=number >= wanted_from)
        messages += found
        second.read(left)
        messages += second.messages
        second.messages.clear()

    assert messages == alone.messages
    assert second.others == alone.others


@given(st.sampled_from(["", "a", "ab", "abc", "naïve €"]), st.binary(min_size=4, max_size=4))
def test_a_plain_message_is_read_behind_any_mask(text, mask):
    payload = text.encode()
    frame = bytearray(masked(1, payload))
    frame[len(frame) - len(payload) - 4 :] = mask + with_mask(payload, mask)

    assert FrameReader(LIMIT).read(bytes(frame)) == ([text], b"")


def test_a_message_byte_by_byte_is_read_when_it_is_whole():
    reader = FrameReader(LIMIT)
    found = [reader.read(bytes((byte,))) for byte in masked(1, b"y" * 200)]

    assert found[-1] == (["y" * 200], b"")
    assert set(map(str, found[:-1])) == {"([], b'')"}


def test_pings_between_messages_are_left():
    stream = masked(1, b"a") + masked(9, b"p") + masked(1, b"b") + masked(10, b"q")

    assert FrameReader(LIMIT).read(stream) == (["a", "b"], masked(9, b"p") + masked(10, b"q"))


def test_what_is_not_wanted_yet_is_left_whole():
    reader, ack = FrameReader(LIMIT), masked(1, ACK)

    assert reader.read(ack + ack[:9], cut=False) == ([], ack)
    assert reader.read(ack[9:] + ack) == ([ACK.decode()] * 2, b"")


STRANGE = {
    "too large": masked(1, b"x" * (LIMIT + 1)),
    "not UTF-8": masked(1, b"\xff"),
    "unmasked": b"\x81\x01x",
    "binary": masked(2, b"x"),
    "a fragment": masked(1, b"x", first=0x01),
    "a reserved bit": masked(1, b"x", first=0xC1),
    "a close": masked(8, b""),
    "a long ping": masked(9, b"x" * 126),
    "a length that is too long": b"\x81\xfe\x00\x01\0\0\0\0x",
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_not_plain_is_left_and_so_is_all_behind_it(strange):
    reader, ack = FrameReader(LIMIT), masked(1, ACK)

    assert reader.read(ack + strange + ack) == ([ACK.decode()], strange + ack)
    assert reader.read(ack) == ([], ack)


def test_what_is_too_large_is_left_as_soon_as_its_length_is_known():
    head = masked(1, b"x" * (LIMIT + 1))[:4]

    assert FrameReader(LIMIT).read(head) == ([], head)
