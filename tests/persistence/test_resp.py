"""Reading what Redis says, in whatever pieces it comes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from tocsin.persistence.redis.resp import BULK_BYTES_MAX, ReplyReader


def written(reply: Any) -> bytes:
    match reply:
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case int():
            return b":%d\r\n" % reply
        case _:
            return b"$-1\r\n"


words = st.sampled_from([b"", b"u:ada", b"two\r\nlines", b"$3\r\n", b"\xff" * 300])
messages = st.tuples(st.just(b"message"), words, words).map(list)
confirmations = st.tuples(st.just(b"subscribe"), words, st.integers(0, 9)).map(list)
others = st.lists(words | st.integers(-5, 5) | st.none() | st.just([b"nested", []]), max_size=3)


@given(st.lists(messages | confirmations | others, max_size=6), st.data())
def test_replies_are_read_in_any_pieces(said, data):
    stream = b"".join(map(written, said))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    reader = ReplyReader()

    read = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.read(stream[start:end])

    assert read == said


def test_a_simple_string_is_read():
    assert ReplyReader().read(b"+PONG\r\n+") == [b"PONG"]


def test_an_error_of_the_servers_is_raised():
    with pytest.raises(ResponseError, match="NOPERM no channels for you"):
        ReplyReader().read(written([b"message", b"a", b"b"]) + b"-NOPERM no channels for you\r\n")


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400\r\n", b"$x\r\n", b"*?\r\n", b":\r\n"])
def test_bytes_that_are_not_redis_are_refused(nonsense):
    with pytest.raises(InvalidResponse):
        ReplyReader().read(nonsense)


@pytest.mark.parametrize("channel", [b"u:ada", b"two\r\nlines"])
def test_a_bulk_that_is_too_long_is_passed_over_without_being_kept(channel):
    long = written([b"message", channel, b"x" * (BULK_BYTES_MAX + 1)])
    stream = long + written([b"message", b"c", b"next"])
    reader, piece, read = ReplyReader(), 1 << 16, []
    for start in range(0, len(stream), piece):
        read += reader.read(stream[start : start + piece])
        assert len(reader._rest) < piece

    assert read == [[b"message", channel, None], [b"message", b"c", b"next"]]


def test_a_bulk_of_the_greatest_length_is_read():
    message = [b"message", b"c", b"x" * BULK_BYTES_MAX]
    assert ReplyReader().read(written(message)) == [message]
