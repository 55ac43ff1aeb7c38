"""Mutated requests against the head parser, h11, and wsproto: faults that no example shows.

Some seconds each; with `--faults`, minutes. Each run has a seed of its own, which a failure names;
`TOCSIN_FUZZ_SEED` runs it again.
"""

from __future__ import annotations

import base64
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
import pytest
import wsproto
from wsproto.events import AcceptConnection, Request

from tocsin.server.http.body import CHUNKED, ChunkedBody, body_length
from tocsin.server.http.upgrade import check_upgrade
from tocsin.server.request_head import BadHead, RequestHead, find_head_end, parse_head
from tocsin.server.websocket.handshake import subprotocols, switching_protocols

SECONDS = 6.0
SECONDS_AT_LENGTH = 120.0
SLOW = 0.004
"""Seconds of the processor for any request of at most 20 KB."""
VISIBLE = set(map(chr, range(0x21, 0x7F)))
TOKEN = VISIBLE - set('"(),/:;<=>?@[\\]{}')
CONTROLS = {*map(chr, range(0x20)), "\x7f"} - {"\t"}
STATUSES = {400, 405, 413, 417, 426, 431, 501, 505}

HANDSHAKE = (
    b"GET /v1/ws?ticket=a%20b HTTP/1.1\r\nHost: n.example:8080\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: tocsin.v1, other\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"Origin: https://n.example\r\n\r\n\x81\x85\0\0\0\0hello"
)
CHUNKED_POST = (
    b"POST /v1/notifications/batch HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/x-ndjson\r\nExpect: 100-continue\r\n\r\n"
    b"4;a=b\r\nWiki\r\n5\r\npedia\r\n10 \r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP"
)
CORPUS = [
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://n.example/v1/inbox?limit=20 HTTP/1.1\r\nHost: n.example\r\nAccept: */*\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"HEAD /v1/inbox HTTP/1.0\r\nUser-Agent: \xffold one\r\n\r\n",
    b"POST /v1/notifications HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{'to': 'ada'}GET / ",
    b"PUT /v1/topics/n%C3%A9ws HTTP/1.1\r\nHost: a\r\nContent-Length:0\r\nIf-Match: *\r\n\r\n",
    CHUNKED_POST,
    HANDSHAKE,
]
NASTY = [
    *(bytes((each,)) for each in (0, 9, 10, 11, 12, 13, 0x1F, 0x20, 0x7F, 0x80, 0x85, 0xA0, 0xFF)),
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b" :", b": ", b":", b",", b", ", b";", b'"',
    b"Content-Length: 5\r\n", b"Content-Length: +5\r\n", b"content-length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n", b"Transfer-Encoding: x\r\n",
    b"Host: b\r\n", b"Host: a@b\r\n", b"Host: xn--a\r\n", b"Host:\r\n", b"Host: [::1\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"HTTP/2.0",
    b"HTTP/1.0", b"Sec-WebSocket-Protocol: x\r\n", b"Sec-WebSocket-Protocol: ,\r\n",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"Sec-WebSocket-Version: 8\r\n",
    b"//", b"?", b"#", b"*", b"%", b"%zz", b"://", b"0\r\n", b"0x1\r\n", b"fffffffffffff\r\n",
    b"-1\r\n", b"1_0\r\n", b"\xc2\xb2", b"=", b"==", b"websocket", b"chunked", b"close",
]  # fmt: skip
LONG = [b" ", b"\t", b"a", b"a,", b"a.", b"%41", b"X: y\r\n", b"/", b"[", b":", b"\r\n"]


@dataclass
class Fuzz:
    """Random inputs for some seconds, and what became of them."""

    random: random.Random
    seconds: float
    seen: Counter[str]

    def inputs(self, corpus: list[bytes]) -> Iterator[bytes]:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            for _ in range(50):
                yield self._mutated(corpus)

    def _mutated(self, corpus: list[bytes]) -> bytes:
        raw = bytearray(self.random.choice(corpus))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            self._mutate(raw, corpus)
        return bytes(raw[:20_000])

    def _mutate(self, raw: bytearray, corpus: list[bytes]) -> None:
        draw = self.random
        a = draw.randrange(len(raw) + 1)
        b = min(len(raw), a + draw.choice((0, 1, 1, 2, 5, 20)))
        match draw.randrange(8):
            case 0:
                raw[a:b] = bytes((draw.randrange(256),))
            case 1 | 2:
                raw[a:a] = draw.choice(NASTY)
            case 3:
                raw[a:b] = draw.choice(NASTY)
            case 4:
                del raw[a:b]
            case 5:
                raw[a:a] = raw[a:b] * draw.choice((1, 2, 50))
            case 6:
                raw[a:a] = draw.choice(LONG) * draw.choice((3, 200, 5000))
            case _:
                # A line of another request, at the beginning of a line.
                other = draw.choice(draw.choice(corpus).split(b"\r\n")) + b"\r\n"
                line = raw.find(b"\r\n", a) + 2
                raw[line:line] = other

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        """*raw* as it may arrive."""
        start = 0
        most = self.random.choice((1, 3, 100, 4096)) if len(raw) < 2000 else 4096
        while start < len(raw):
            end = start + self.random.randint(1, most)
            yield raw[start:end]
            start = end


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Iterator[Fuzz]:
    seed = int(os.environ.get("TOCSIN_FUZZ_SEED", random.SystemRandom().getrandbits(32)))
    at_length = request.config.getoption("--faults")
    made = Fuzz(random.Random(seed), SECONDS_AT_LENGTH if at_length else SECONDS, Counter())
    print(f"TOCSIN_FUZZ_SEED={seed}")
    yield made
    print(made.seen.total(), "inputs", made.seen.most_common(12))


def judged(raw: bytes) -> RequestHead | BadHead | None:
    """The door's judgment of *raw*, if it comes at once; `None` where the door waits for more."""
    try:
        if find_head_end(raw, 0) < 0:
            return None
        return parse_head(raw)
    except BadHead as bad:
        return bad


def judged_in_time(raw: bytes) -> RequestHead | BadHead | None:
    """As `judged`; it takes next to no time."""
    best = SLOW
    for _ in range(5):
        started = time.thread_time()
        judgement = judged(raw)
        best = min(best, time.thread_time() - started)
        if best < SLOW:
            return judgement
    raise AssertionError(f"{best} s: {raw[:200]!r}")


def judged_in_pieces(fuzz: Fuzz, raw: bytes) -> RequestHead | BadHead | None:
    read = bytearray()
    try:
        for piece in fuzz.pieces(raw):
            seen = len(read)
            read += piece
            if find_head_end(read, seen) >= 0:
                return parse_head(read)
    except BadHead as bad:
        return bad
    return None


def test_a_head_is_taken_or_refused_and_nothing_else(fuzz: Fuzz) -> None:
    for raw in fuzz.inputs(CORPUS):
        judgement = judged_in_time(raw)
        in_pieces = judged_in_pieces(fuzz, raw)
        match judgement:
            case RequestHead():
                fuzz.seen["taken"] += 1
                assert isinstance(in_pieces, RequestHead), (raw, in_pieces)
                assert written(in_pieces) == written(judgement), raw
                check_values(judgement, raw)
                again = parse_head(written(judgement))
                assert written(again) == written(judgement), raw
            case BadHead(status=status):
                fuzz.seen[str(status)] += 1
                assert status in STATUSES, raw
                # Another fault may come first, or the rest is not waited for; but it is none.
                assert isinstance(in_pieces, BadHead), (raw, judgement)
            case None:
                fuzz.seen["waits"] += 1
                assert in_pieces is None, raw
    assert fuzz.seen["taken"] > 100 < fuzz.seen["400"]


def written(head: RequestHead) -> bytes:
    lines = [f"{head.method} {head.target} HTTP/{head.http_version}"]
    lines += [f"{name}: {value}" for name, value in head.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def check_values(head: RequestHead, raw: bytes) -> None:
    """Nothing in *head* that could be two things, whoever reads it next."""
    assert head.target == "*" or head.target.startswith("/"), raw
    assert VISIBLE.issuperset(head.target), raw
    assert TOKEN.issuperset(head.method), raw
    assert raw[: head.bytes_total].endswith(b"\r\n\r\n"), raw
    for name, value in head.headers.items():
        assert TOKEN.issuperset(name), raw
        assert name == name.lower(), raw
        assert value == value.strip(" \t"), raw
        assert not CONTROLS & set(value), raw
    assert len(head.headers.get_all("host")) == 1 or head.http_version == "1.0", raw
    host = head.headers.get("host")
    if host:
        urlsplit(f"//{host}").port  # noqa: B018 -- raises what it takes amiss
    head.path.encode("utf-8", "surrogateescape")


def test_h11_reads_the_same(fuzz: Fuzz) -> None:
    """Proxies in front read as h11 does, or more strictly: nothing is smuggled between the two."""
    for raw in fuzz.inputs(CORPUS):
        head = judged(raw)
        if not isinstance(head, RequestHead):
            continue
        try:
            length = body_length(head)
            body, rest = body_of(fuzz, raw[head.bytes_total :], length)
        except BadHead as bad:
            fuzz.seen[f"{bad.status} for its body"] += 1
            continue
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        peer.receive_data(raw)
        try:
            event = peer.next_event()
            assert isinstance(event, h11.Request), (raw, event)
            assert event.method.decode() == head.method, raw
            assert event.http_version.decode() == head.http_version, raw
            assert origin_form(event.target.decode()) == head.target, raw
            theirs = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            assert theirs == as_h11_keeps(head), raw
            data = b""
            while isinstance(event := peer.next_event(), h11.Data):
                data += event.data
            assert data == body, raw
            assert isinstance(event, h11.EndOfMessage) == (rest is not None), (raw, event)
            if rest is not None:
                assert peer.trailing_data[0] == rest, raw
        except h11.RemoteProtocolError as refused:
            why = why_h11_refuses(head, rest, str(refused))
            if not why:
                raise AssertionError(raw) from refused
            fuzz.seen[f"h11: {why}"] += 1
            continue
        fuzz.seen["the same"] += 1
    assert fuzz.seen["the same"] > 100


def body_of(fuzz: Fuzz, behind: bytes, length: int) -> tuple[bytes, bytes | None]:
    """The body, and what lies behind its end, `None` where that has not come."""
    if length != CHUNKED:
        return behind[:length], behind[length:] if len(behind) >= length else None
    body, chunks, rest = b"", ChunkedBody(), b""
    for piece in fuzz.pieces(behind):
        rest += piece
        while rest and not chunks.ended:
            part, rest = chunks.feed(rest)
            body += part
    return body, rest if chunks.ended else None


def origin_form(target: str) -> str:
    if target.startswith("/") or target == "*":
        return target
    _, _, rest = target.partition("://")
    cut = min((place for each in "/?" if (place := rest.find(each)) >= 0), default=len(rest))
    path = rest[cut:]
    return path if path.startswith("/") else "/" + path


def as_h11_keeps(head: RequestHead) -> list[tuple[str, str]]:
    """h11 writes the coding in lower case."""
    lower = {"transfer-encoding"}
    return [(name, v.lower() if name in lower else v) for name, v in head.headers.items()]


def why_h11_refuses(head: RequestHead, rest: bytes | None, refused: str) -> str:
    """Why it is right to take what h11 does not; empty where it is not."""
    if rest is None:
        return "we refuse a chunk's end when the line is whole"
    if re.search(r"illegal chunk header.*[0-9a-fA-F](?: |\\t)+;", refused):
        return "blanks before a chunk's extension are to be passed over (RFC 9112 §7.1.1)"
    if re.search("Transfer-Encoding|Content-Length", refused):
        # We agreed about those of the head, so it is the trailer's (RFC 9110 §6.5.1).
        return "what frames a message means nothing in a trailer, which nobody reads"
    return ""


def test_an_upgrade_by_the_door_s_judgement_is_answered(fuzz: Fuzz) -> None:
    corpus = [HANDSHAKE] * 6 + CORPUS
    for raw in fuzz.inputs(corpus):
        head = judged(raw)
        if not isinstance(head, RequestHead) or not head.is_websocket_upgrade:
            continue
        try:
            check_upgrade(head)
        except BadHead as bad:
            fuzz.seen[str(bad.status)] += 1
            continue
        key = head.headers.get("sec-websocket-key") or ""
        assert len(base64.b64decode(key, validate=True)) == 16, raw
        theirs = answer_of_wsproto(head)
        ours = switching_protocols(head)
        assert ours.startswith(b"HTTP/1.1 101 "), raw
        accepted = re.search(rb"(?i)sec-websocket-accept: (\S+)\r\n", theirs)
        assert accepted is not None, (raw, theirs)
        assert b"Sec-WebSocket-Accept: " + accepted[1] + b"\r\n" in ours, raw
        if b"Sec-WebSocket-Protocol" in ours:
            assert "tocsin.v1" in ",".join(subprotocols(head)), raw
        fuzz.seen["101"] += 1
    assert fuzz.seen["101"] > 50


def answer_of_wsproto(head: RequestHead) -> bytes:
    """The answer of wsproto to the same handshake, which it must take as well."""
    names = ("host", "upgrade", "sec-websocket-key", "sec-websocket-version")
    lines = ["GET / HTTP/1.1", "Connection: Upgrade"]
    lines += [f"{name}: {head.headers.get(name) or 'n'}" for name in names]
    if offered := subprotocols(head):
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(sorted(offered))}")
    peer = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    peer.receive_data("\r\n".join([*lines, "", ""]).encode())
    asked = next(peer.events())
    assert isinstance(asked, Request), head
    assert set(asked.subprotocols) == offered, head
    return peer.send(AcceptConnection())
