import json

import pytest
import trio
import trio.testing

from tests.server.edge import UPGRADE
from tocsin.server.request_head import (
    BadHead,
    Headers,
    check_upgrade,
    parse_head,
    problem_response,
    read_head,
)


def head(*lines, target=b"/"):
    return b"GET %s HTTP/1.1\r\n" % target + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def status_of(raw):
    with pytest.raises(BadHead) as caught:
        parse_head(raw)
    return caught.value.status


# ---------------------------------------------------------------- parsing


def test_a_request_is_taken_apart():
    raw = head(b"Host: a.example:80", b"X-A:  one ", b"x-a: tw\xf6", target=b"/v1/%C3%A9?a=1&b=%26")
    parsed = parse_head(raw + b"body")

    assert (parsed.method, parsed.http_version) == ("GET", "1.1")
    assert (parsed.path, parsed.query) == ("/v1/é", "a=1&b=%26")
    assert parsed.query_values() == {"a": "1", "b": "&"}
    assert parsed.headers.get_all("X-A") == ("one", "twö")
    assert parsed.headers.get("x-a") == "one, twö"
    assert parsed.headers.get("missing") is None
    assert parsed.bytes_total == len(raw)
    assert not parsed.is_websocket_upgrade


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://a.example/x?y", "/x"),
        (b"http://a.example", "/"),
        (b"/", "/"),
        (b"//evil.example/x", "//evil.example/x"),
        (b"/a?b?c", "/a"),
    ],
)
def test_a_target_may_be_absolute(target, path):
    assert parse_head(head(b"Host: h", target=target)).path == path


def test_options_may_ask_about_everything():
    assert parse_head(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path == "*"


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET / http/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET no-slash HTTP/1.1",
        b"GET ftp://x/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"",
    ],
)
def test_a_bad_request_line_is_refused(line):
    assert status_of(line + b"\r\nHost: h\r\n\r\n") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"NoColon",
        b"Name : value",
        b": value",
        b" folded: value",
        b"X: a\x00b",
        b"X: a\rb",
        b"X: a\x7fb",
        b"N\xe9: v",
    ],
)
def test_a_bad_header_is_refused(line):
    assert status_of(head(b"Host: h", line)) == 400


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b"Host: a", b"Host: a"],
        [b"Host: \xe9"],
        [b"Host: user@h"],
        [b"Host: h/x"],
        [b"Host: h h"],
        [b"Host: h:80x"],
        [b"Host: [::1"],
    ],
)
def test_a_host_that_is_not_one_is_refused(hosts):
    assert status_of(head(*hosts)) == 400


@pytest.mark.parametrize("host", [b"h", b"127.0.0.1:8000", b"[::1]:8000", b"", b"a-b.example"])
def test_a_host_of_any_kind_passes(host):
    assert parse_head(head(b"Host: " + host)).headers.get("host") == host.decode()


def test_http_1_0_needs_no_host():
    assert parse_head(b"GET / HTTP/1.0\r\n\r\n").http_version == "1.0"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (head(b"Host: h", *[b"X: 1"] * 100), 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", 400),
    ],
)
def test_what_is_not_served_says_so(raw, status):
    assert status_of(raw) == status


def test_too_many_query_fields_are_refused():
    parsed = parse_head(head(b"Host: h", target=b"/?" + b"a&" * 200))
    with pytest.raises(BadHead):
        parsed.query_values()


def test_headers_do_not_show_their_values():
    assert "secret" not in repr(Headers([("Authorization", "secret")]))
    assert "ticket" not in repr(parse_head(head(b"Host: h", target=b"/?ticket=1")))


# ---------------------------------------------------------------- upgrades


@pytest.mark.parametrize(
    ("old", "new", "is_upgrade"),
    [
        (b"", b"", True),
        (b"websocket", b"WebSocket", True),
        (b"Connection: Upgrade", b"Connection: keep-alive, upgrade", True),
        (b"Connection: Upgrade", b"Connection: close", False),
        (b"Upgrade: websocket", b"Upgrade: h2c", False),
        (b"GET", b"POST", False),
    ],
)
def test_an_upgrade_is_recognised(old, new, is_upgrade):
    assert parse_head(UPGRADE.replace(old, new)).is_websocket_upgrade == is_upgrade


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"\xe9" * 24, 400),
        (b"Host: h", b"Host: h\r\nSec-WebSocket-Protocol: \xe9", 400),
        (b"Host: h", b"Host: h\r\nSec-WebSocket-Extensions: \xe9", 400),
        (b"Host: h", b"Host: h\r\nContent-Length: 5", 400),
        (b"Host: h", b"Host: h\r\nTransfer-Encoding: chunked", 400),
        (b"Upgrade: websocket", b"Upgrade: websocket, h2c", 400),
        (b"HTTP/1.1", b"HTTP/1.0", 400),
    ],
)
def test_an_upgrade_that_cannot_be_answered_is_refused(old, new, status):
    parsed = parse_head(UPGRADE.replace(old, new, 1))
    assert parsed.is_websocket_upgrade
    with pytest.raises(BadHead) as caught:
        check_upgrade(parsed)
    assert caught.value.status == status


def test_a_good_upgrade_passes():
    check_upgrade(parse_head(UPGRADE))


# ---------------------------------------------------------------- reading


async def read_from(*parts, end=True, **limits):
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def send():
            for part in parts:
                await client.send_all(part)
                await trio.testing.wait_all_tasks_blocked()
            if end:
                await client.send_eof()

        nursery.start_soon(send)
        try:
            return await read_head(server, **limits)
        except BadHead as bad:
            return bad.status
        finally:
            nursery.cancel_scope.cancel()


async def test_a_head_is_read_with_what_follows_it():
    assert await read_from(UPGRADE + b"x") == UPGRADE + b"x"


async def test_a_head_may_come_byte_by_byte():
    assert await read_from(*[bytes((byte,)) for byte in UPGRADE]) == UPGRADE


async def test_a_client_that_leaves_without_a_word_is_no_error():
    assert await read_from() == b""


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([UPGRADE[:-1]], 400),
        ([b"\r\n", UPGRADE], 400),
        ([b"\x16\x03\x01\x02\x00\x01\x00"], 400),
        ([b"GET / HTTP/1.1\nHost: h\n\n"], 400),
        ([b"GET / HTTP/1.1\r", b"\nHost: h", b"\n\n"], 400),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 505),
        ([b"GET / HTTP/1.1\r\nX: ", b"a" * 20_000], 431),
        ([b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n"], 431),
    ],
)
async def test_what_cannot_become_a_request_is_refused_at_once(parts, status):
    assert await read_from(*parts, end=parts[0] == UPGRADE[:-1]) == status


async def test_the_limit_counts_the_head_and_not_what_follows():
    raw = head(b"Host: h")
    assert await read_from(raw + b"b" * 1000, bytes_max=len(raw)) == raw + b"b" * 1000
    assert await read_from(raw, bytes_max=len(raw) - 1) == 431


async def test_dribbling_does_not_stretch_the_time_for_a_head(autojump_clock):
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def dribble():
            for byte in UPGRADE:
                await client.send_all(bytes((byte,)))
                await trio.sleep(1)  # waits for: nothing; it is a slow client

        nursery.start_soon(dribble)
        began = trio.current_time()
        with pytest.raises(BadHead) as caught:
            await read_head(server, timeout=10)
        nursery.cancel_scope.cancel()
    assert caught.value.status == 408
    assert trio.current_time() - began == 10


async def test_a_connection_opened_in_advance_ends_without_an_answer(autojump_clock):
    _client, server = trio.testing.memory_stream_pair()
    assert await read_head(server, timeout=10) == b""


# ---------------------------------------------------------------- answers


def test_a_refusal_is_a_problem():
    bad = BadHead(426, "No.", headers=(("Upgrade", "websocket"),))
    head_, _, body = problem_response(bad, request_id="r1", type_base="https://d/").partition(
        b"\r\n\r\n"
    )

    assert head_.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"X-Request-Id: r1" in head_
    assert b"Upgrade: websocket" in head_
    assert b"Connection: close" in head_
    assert json.loads(body) == {
        "type": "https://d/upgrade_required",
        "title": "Upgrade Required",
        "status": 426,
        "detail": "No.",
        "code": "upgrade_required",
    }
