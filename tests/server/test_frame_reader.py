"""The reader of frames, held against wsproto: it finds the same messages, and the same ends."""

from __future__ import annotations

import functools
import itertools
import operator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from tests.server.edge_kit import masked
from tocsin.protocol.closing import Closing
from tocsin.server.websocket.frame_reader import FRAGMENTS_MAX, FRAMES_MAX, FrameReader

LIMIT = 300
ACK = b'{"type":"ack","sequence":1}'


@dataclass
class Read:
    """The messages read of a stream, and its end, if any: `close`, or the word of a closing."""

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    end: str = ""


def read_by_wsproto(stream: bytes) -> Read:
    """The reading by wsproto, as a server that bounds its messages and wants no binary ones."""
    read, connection, begun = Read(), Connection(ConnectionType.SERVER), list[Any]()
    try:
        connection.receive_data(stream)
        for event in connection.events():
            match event:
                case Ping(payload=payload):
                    read.pings.append(bytes(payload))
                case CloseConnection():
                    # Its own verdict looks like the peer's close, but leaves the state as it was.
                    closed = connection.state is not ConnectionState.OPEN
                    read.end = "close" if closed else "malformed"
                    return read
                case TextMessage(data=data):
                    begun.append(data)
                    if sum(len(part.encode()) for part in begun) > LIMIT:
                        read.end = "frame_too_large"
                        return read
                    if event.message_finished:
                        read.messages.append(functools.reduce(operator.add, begun))
                        begun.clear()
                case BytesMessage():
                    read.end = "malformed"
                    return read
    except RemoteProtocolError:
        read.end = "malformed"
    return read


def read_by_us(*pieces: bytes, frames_max: int = FRAMES_MAX) -> Read:
    read, reader = Read(), FrameReader(LIMIT)
    for piece in pieces:
        data = piece
        while True:
            reading = reader.read(data, frames_max)
            read.messages += reading.messages
            read.pings += reading.pings
            assert reading.frames <= frames_max
            if reading.close is not None:
                read.end = "close"
            if reading.wrong is not None:
                read.end = reading.wrong.refusal.closing.word
                assert reading.wrong.refusal.detail
            if not reader.has_more:
                break
            data = b""
    return read


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


@st.composite
def fragmented(draw: st.DrawFn) -> bytes:
    """A message in fragments, cut anywhere, with control frames between them."""
    text: bytes = draw(st.sampled_from(["", "abc", "naïve €", "x" * LIMIT])).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stream = b""
    for number, part in enumerate(parts):
        first = (0 if number else 1) | (0x80 if number == len(parts) - 1 else 0)
        stream += frame(first, part, draw(masks)) + draw(st.one_of(st.just(b""), control))
    return stream


codes = st.one_of(
    st.integers(0, 5100),
    st.sampled_from([999, 1000, 1003, 1004, 1005, 1006, 1007, 1013, 1014, 1015, 2999, 3000, 5000]),
)
closes = st.builds(
    lambda code, reason, mask: frame(0x88, code.to_bytes(2, "big") + reason, mask),
    codes,
    st.sampled_from([b"", b"bye", "ä".encode(), b"\xff"]),
    masks,
)
strange = st.one_of(
    closes,
    st.builds(frame, st.sampled_from([0x82, 0x80, 0x88, 0xC1, 0xA9, 0x83, 0x09]), texts, masks),
    st.builds(frame, st.integers(0, 255), st.sampled_from([b"", b"x", b"\x03\xe8"]), masks),
    st.builds(frame, st.just(0x81), texts, st.none()),
    st.builds(frame, st.sampled_from([0x81, 0x89]), st.just(b"x"), masks, width=st.just(2)),
    st.builds(frame, st.just(0x81), st.just(ACK), masks, width=st.just(8)),
    st.builds(frame, st.just(0x81), st.sampled_from([b"x" * (LIMIT + 1), b"\xc3"]), masks),
    st.just(frame(0x89, b"x" * 126, b"\0\0\0\0")),
    st.just(frame(0x01, b"a", b"\0\0\0\0") + frame(0x81, b"b", b"\0\0\0\0")),
    st.just(frame(0x01, b"x" * 200, b"\0\0\0\0") + frame(0x80, b"x" * 101, b"\0\0\0\0")),
    st.just(frame(0x01, b"\xff", b"\0\0\0\0") + frame(0x80, b"", b"\0\0\0\0")),
)
usual = st.lists(st.one_of(plain, plain, control, fragmented()), max_size=5).map(b"".join)
streams = st.tuples(usual, st.one_of(st.just(b""), strange), usual).map(b"".join)


def chopped(stream: bytes, cuts: set[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@given(streams)
def test_it_reads_what_wsproto_reads(stream):
    judged = read_by_wsproto(stream)
    assert read_by_us(stream) == judged


@given(
    st.one_of(streams, st.binary(max_size=200)),
    st.sets(st.integers(0, 2000), max_size=12),
    st.integers(1, FRAMES_MAX),
)
def test_it_does_not_matter_how_a_stream_is_chopped(stream, cuts, frames_max):
    whole = read_by_us(stream)
    assert read_by_us(*chopped(stream, cuts), frames_max=frames_max) == whole
    assert read_by_us(*chopped(stream, set(range(len(stream))))) == whole


class Counted(bytes):
    """Bytes that note how many of them are copied, whether by slicing or by joining."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, bytes):
            Counted.copied += len(found)
            return Counted(found)
        return found

    def __add__(self, other: Any) -> Counted:
        Counted.copied += len(self) + len(other)
        return Counted(super().__add__(other))


@given(st.one_of(streams, st.binary(max_size=300)), st.integers(1, 64))
def test_the_work_is_linear_in_the_bytes_however_they_come(stream, size):
    """Also where a payload of the largest size comes byte by byte."""
    stream += frame(0x81, b"x" * LIMIT, b"\0\0\0\0")
    reader, Counted.copied = FrameReader(LIMIT), 0
    for at in range(0, len(stream), size):
        reader.read(Counted(stream[at : at + size]))
        while reader.has_more:
            reader.read(Counted(b""))
    # A byte is copied when it is taken from what has come, when it is put to a head that was not
    # whole, which has 14 bytes at most, and with its mask.
    assert Counted.copied <= 20 * len(stream) + 64


@given(st.sampled_from(["", "a", "ab", "abc", "naïve €"]), st.binary(min_size=4, max_size=4))
def test_a_message_is_read_behind_any_mask(text, mask):
    assert read_by_us(frame(0x81, text.encode(), mask)) == Read([text])


def test_so_many_frames_are_read_at_a_time_and_the_rest_later():
    reader, frames = FrameReader(LIMIT), []
    reading = reader.read(masked(0xA, b"") * 70)
    frames.append(reading.frames)
    while reader.has_more:
        frames.append(reader.read(b"").frames)
    assert frames == [32, 32, 6]


def test_pings_are_to_be_answered_and_pongs_are_nothing():
    reading = FrameReader(LIMIT).read(
        masked(1, b"a") + masked(9, b"p") + masked(10, b"q") + masked(9, b"r")
    )
    assert (reading.messages, reading.pings, reading.frames) == (["a"], [b"p", b"r"], 4)


HEAD_OF_TOO_MUCH = {
    "in a frame": masked(1, b"x" * (LIMIT + 1))[:8],
    "in a very long frame": b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4),
    "in the sum of fragments": masked(1, b"x" * 200, first=0x01)
    + masked(0, b"x" * 101, first=0x00)[:6],
}


@pytest.mark.parametrize("stream", HEAD_OF_TOO_MUCH.values(), ids=HEAD_OF_TOO_MUCH.keys())
def test_a_frame_that_declares_too_much_is_refused_by_its_header(stream):
    wrong = FrameReader(LIMIT).read(stream).wrong
    assert wrong is not None
    assert wrong.refusal.closing is Closing.FRAME_TOO_LARGE
    assert str(LIMIT) in wrong.refusal.detail


def test_the_largest_message_may_come_in_fragments():
    stream = masked(1, b"x" * 200, first=0x01) + masked(0, b"x" * 100, first=0x80)
    assert read_by_us(stream) == Read(["x" * LIMIT])


def test_the_limit_is_of_bytes_and_not_of_characters():
    assert read_by_us(masked(1, "€".encode() * 100)) == Read(["€" * 100])
    assert read_by_us(masked(1, "€".encode() * 101)).end == "frame_too_large"


def test_fragments_of_a_message_are_bounded():
    reader = FrameReader(LIMIT)
    reader.read(masked(1, b"", first=0x01))
    for _ in range(FRAGMENTS_MAX - 1):
        assert reader.read(masked(0, b"", first=0x00)).wrong is None
    wrong = reader.read(masked(0, b"", first=0x00)).wrong
    assert wrong is not None
    assert wrong.refusal.closing is Closing.MALFORMED
    assert str(FRAGMENTS_MAX) in wrong.refusal.detail


MALFORMED = {
    "not UTF-8": (masked(1, b"\xff"), "UTF-8"),
    "unmasked": (b"\x81\x01x", "masked"),
    "binary": (masked(2, b"x"), "binary"),
    "a reserved bit": (masked(1, b"x", first=0xC1), "reserved"),
    "an unknown opcode": (masked(3, b""), "0x3"),
    "a long ping": (masked(9, b"x" * 126), "125"),
    "a fragmented ping": (masked(9, b"x", first=0x09), "control"),
    "a continuation of nothing": (masked(0, b"x"), "continues nothing"),
    "text within text": (masked(1, b"a", first=1) + masked(1, b"b"), "within"),
    "a length that is too long": (b"\x81\xfe\x00\x01\0\0\0\0x", "one byte"),
    "a length that is far too long": (b"\x81\xff" + bytes(7) + b"\x01" + bytes(4), "two bytes"),
    "a negative length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), "63 bits"),
    "a close with half a code": (masked(8, b"\x03"), "close"),
    "a close with a code that is none": (masked(8, b"\x03\xed"), "close"),
}


@pytest.mark.parametrize(("stream", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_is_answered_with_its_fault(stream, words):
    reader, ack = FrameReader(LIMIT), masked(1, ACK)
    reading = reader.read(ack + stream + ack)

    assert reading.messages == [ACK.decode()]
    assert reading.wrong is not None
    assert reading.wrong.refusal.closing is Closing.MALFORMED
    assert words in reading.wrong.refusal.detail
    assert reader.read(ack).messages == []


def test_nothing_is_read_behind_a_close():
    reader = FrameReader(LIMIT)
    reading = reader.read(masked(8, b"\x03\xe8bye") + masked(1, ACK))
    assert (reading.close, reading.messages) == (b"\x03\xe8bye", [])
    assert reader.read(masked(1, ACK)).messages == []


# --- Binary messages ----------------------------------------------------------------------------


def read_binary(*pieces: bytes) -> Read:
    reader, read = FrameReader(LIMIT, are_binary=True), Read()
    for piece in pieces:
        reading = reader.read(piece)
        read.messages += reading.messages
        if reading.wrong is not None:
            read.end = reading.wrong.refusal.closing.word
    return read


@pytest.mark.parametrize("cut", range(1, 12))
def test_binary_messages_are_bytes_whole_cut_and_in_fragments(cut):
    mask, payload = b"\x12\xfe\x80\x07", b"\xff\x00\x80"
    whole = frame(0x82, payload, mask)
    assert read_binary(whole[:cut], whole[cut:] + whole).messages == [payload, payload]
    fragments = frame(0x02, payload, mask) + frame(0x80, payload, mask)
    assert read_binary(fragments[:cut], fragments[cut:]).messages == [payload * 2]


@pytest.mark.parametrize(
    ("stream", "end"),
    [
        (frame(0x81, b"x", bytes(4)), "malformed"),
        (frame(0x01, b"x", bytes(4)), "malformed"),
        (frame(0x82, b"x" * (LIMIT + 1), bytes(4)), "frame_too_large"),
        (frame(0x82, b"x", None), "malformed"),
        (frame(0x02, b"x", bytes(4)) + frame(0x82, b"x", bytes(4)), "malformed"),
    ],
)
def test_a_reader_of_binary_messages_refuses_all_else(stream, end):
    assert read_binary(stream) == Read(end=end)
