"""Where a body ends, whatever the pieces in which it comes."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.server.http.body import CHUNKED, ChunkedBody, body_length
from tocsin.server.request_head import BadHead, parse_head


def head(*lines: bytes, version: bytes = b"1.1"):
    fields = b"".join(b"%b\r\n" % line for line in (b"Host: h", *lines))
    return parse_head(b"POST / HTTP/%b\r\n%b\r\n" % (version, fields))


def read(raw: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool] | int:
    """The body, what lies behind it, whether it has ended; or the status of the refusal."""
    body, found, rest = ChunkedBody(), b"", b""
    try:
        for a, b in pairwise([0, *cuts, len(raw)]):
            if body.ended:
                rest += raw[a:b]
                continue
            behind = raw[a:b]
            while behind and not body.ended:
                part, behind = body.feed(behind)
                found += part
            rest += behind
    except BadHead as bad:
        return bad.status
    return found, rest, body.ended


def test_chunks_may_be_tiny_but_not_all_of_them():
    def feed(chunk: bytes, count: int) -> None:
        body, rest = ChunkedBody(), b"%x\r\n%b\r\n" % (len(chunk), chunk) * count
        while rest:
            _, rest = body.feed(rest)

    feed(b"x", 1000)
    feed(b"xxxx", 100_000)
    with pytest.raises(BadHead) as caught:
        feed(b"x", 2000)
    assert caught.value.status == 400


def test_how_long_a_body_is():
    assert body_length(head()) == 0
    assert body_length(head(b"Content-Length: 17")) == 17
    assert body_length(head(b"Transfer-Encoding: Chunked")) == CHUNKED


@pytest.mark.parametrize(
    ("lines", "version", "status"),
    [
        ([b"Content-Length: 1", b"Content-Length: 1"], b"1.1", 400),
        ([b"Content-Length: 1, 1"], b"1.1", 400),
        ([b"Content-Length: -1"], b"1.1", 400),
        ([b"Content-Length: \xb2"], b"1.1", 400),
        ([b"Content-Length:"], b"1.1", 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 1"], b"1.1", 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], b"1.1", 501),
        ([b"Transfer-Encoding: identity"], b"1.1", 501),
        ([b"Transfer-Encoding: \x0bchunked"], b"1.1", 400),
        ([b"Transfer-Encoding: chunked"], b"1.0", 400),
    ],
)
def test_a_length_that_two_could_read_differently_is_refused(lines, version, status):
    with pytest.raises(BadHead) as caught:
        body_length(head(*lines, version=version))
    assert caught.value.status == status


@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=20), st.data())
def test_a_chunked_body_comes_whole_in_any_pieces(parts, behind, data):
    raw = b"".join(b"%X;x=y\r\n%b\r\n" % (len(part), part) for part in parts)
    raw += b"0\r\nTrailer: x\r\n\r\n" + behind
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=6).map(sorted))
    assert read(raw, cuts) == (b"".join(parts), behind, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX: y\x0c\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\r\nhello",
        b" 5\r\nhello\r\n",
        b"f" * 13 + b"\r\n",
        b"5;" + b"x" * 2000 + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * 400 + b"\r\n",
    ],
)
def test_a_chunked_body_that_two_could_read_differently_is_refused(raw):
    assert read(raw, []) == 400
    assert read(raw, list(range(len(raw)))) == 400


@given(st.lists(st.sampled_from([b"5\r\nhello\r\n", b"0\r\n", b"\r\n", b"a", b"5", b"\n", b";"])))
def test_any_body_taken_here_is_taken_by_h11(parts):
    raw = b"".join(parts)
    mine = read(raw, [])
    if isinstance(mine, int) or not mine[2]:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + raw)
    assert isinstance(theirs.next_event(), h11.Request)
    body = b""
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    assert (body, theirs.trailing_data[0]) == mine[:2]
