"""HTTP from clients with bugs, and from those who look for ours: a clear answer, and on it goes."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from servers.node import PATIENCE
from servers.tokens import PRODUCER, token
from tests.system.producer_kit import Producer, expect_problem
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server

# Nothing here depends on the store.
pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")
MIB = 1 << 20


def test_a_body_that_is_too_large_is_refused(producer: Producer):
    content = b'{"title":"' + b"x" * (MIB + 1) + b'"}'
    answer = producer.request("POST", "/v1/notifications", content=content)
    expect_problem(answer, 413, "too_large")


def test_a_body_that_claims_to_be_too_large_is_refused_before_it_comes(server: Server):
    with Wire(server) as wire:
        status, headers, _ = wire.ask(head("POST", "/v1/notifications", "Content-Length: 99999999"))
        assert status == 413
        assert headers["connection"] == "close"
        assert wire.read_to_end() == b""


def test_a_chunked_body_is_counted_as_it_comes(server: Server):
    with Wire(server) as wire:
        wire.send(head("POST", "/v1/notifications", "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(20):
            wire.send(chunk)
        assert wire.read_answer()[0] == 413


def head(method: str, target: str, *headers: str, host: str = "Host: localhost") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", host, f"Authorization: Bearer {PRODUCER}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("GET", "/livez", host="Host: ex\u00e4mple"), 400),
        (head("GET", "/livez", host="Host: a\r\nHost: b"), 400),
        (head("GET", "/livez", host="X: no host"), 400),
        (head("GET", "/livez", host="Host: a b"), 400),
        (head("GET", "/livez", "X: a\r\n folded"), 400),
        (head("GET", "/livez", "Content-Length: x"), 400),
        (head("GET", "/livez", "Content-Length: 1", "Content-Length: 2"), 400),
        (head("POST", "/livez", "Content-Length: 4", "Transfer-Encoding: chunked"), 400),
        (head("GET", "/livez", "Content-Length: -1"), 400),
        (head("POST", "/v1/notifications", "Transfer-Encoding: gzip"), 501),
        (head("GET", "/livez", "X" * 20_000), 431),
        (head("GET", "/livez", *(f"X-{number}: x" for number in range(200))), 431),
        (head("GET", "/" + "x" * 20_000), 431),
        (head("CONNECT", "example.org:443"), 405),
        (head("GET", "nonsense"), 400),
        (b"GET /livez HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /livez\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, 400),
        (b"GET /livez HTTP/1.1\nHost: a\n\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x00" * 5000 + b"\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /li\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_not_http_is_told_so(server: Server, request_, status):
    with Wire(server) as wire:
        answered, headers, body = wire.ask(request_)
        assert answered == status
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"]
        assert json.loads(body)["status"] == answered


def test_requests_on_one_connection_do_not_bleed_into_each_other(server: Server, producer, ada):
    """Request smuggling: what is behind a body is a request of its own, with its own credential."""
    body = json.dumps({"to": {"users": [ada]}, "title": "one"}).encode()
    first = head("POST", "/v1/notifications", f"Content-Length: {len(body)}") + body
    second = b"GET /v1/inbox HTTP/1.1\r\nHost: a\r\n\r\n"
    with Wire(server) as wire:
        wire.send(first + second + head("GET", "/livez"))
        assert wire.read_answer()[0] == 201
        assert wire.read_answer()[0] == 401
        assert wire.read_answer()[0] == 200


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade"])
@pytest.mark.parametrize("pipelined", [False, True])
def test_an_upgrade_may_be_any_request_of_a_connection(server: Server, pipelined, connection):
    upgrade = head(
        "GET", "/v1/ws", "Upgrade: websocket", f"Connection: {connection}",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    with Wire(server) as wire:
        if pipelined:
            wire.send(head("GET", "/livez") + head("GET", "/docs") + upgrade)
            assert [wire.read_answer()[0] for _ in range(3)] == [200, 200, 101]
        else:
            assert wire.ask(head("GET", "/livez"))[0] == 200
            assert wire.ask(head("POST", "/v1/tickets", "Content-Length: 0"))[0] == 201
            assert wire.ask(upgrade)[0] == 101


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "websocket2", "x" * 1000])
def test_other_upgrades_are_ignored(server: Server, protocol):
    with Wire(server) as wire:
        status, _, _ = wire.ask(
            head(
                "GET",
                "/livez",
                f"Upgrade: {protocol}",
                "Connection: Upgrade, HTTP2-Settings",
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            )
        )
        assert status == 200


def test_there_is_one_address_for_each_thing(producer: Producer):
    answer = producer.request("GET", "/v1//topics/news/subscribers")
    expect_problem(answer, 404, "not_found")


def test_a_head_request_gets_no_body(server: Server):
    with Wire(server) as wire:
        wire.send(head("HEAD", "/livez") + head("GET", "/livez"))
        everything = b""
        while everything.count(b"HTTP/1.1 200") < 2 or b"ok" not in everything:
            everything += wire.read()
        assert everything.index(b"ok") > everything.rindex(b"HTTP/1.1 200")


def test_an_expectation_is_answered(server: Server, ada):
    body = json.dumps({"to": {"users": [ada]}, "title": "x"}).encode()
    with Wire(server) as wire:
        wire.send(
            head(
                "POST", "/v1/notifications", f"Content-Length: {len(body)}", "Expect: 100-continue"
            )
        )
        assert wire.read_answer()[0] == 100
        wire.send(body)
        assert wire.read_answer()[0] == 201


def test_half_a_request_and_no_more_is_nothing(server: Server, producer: Producer, ada):
    body = json.dumps({"to": {"users": [ada]}, "title": "half"}).encode()
    for cut in (1, len(body) // 2, len(body) - 1):
        with Wire(server) as wire:
            wire.send(
                head("POST", "/v1/notifications", f"Content-Length: {len(body)}") + body[:cut]
            )
    producer.post(ada, title="whole")
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("whole")
        phone.expect_synced()


@pytest.mark.faults  # because the head has ten seconds, whatever the settings
def test_a_head_that_dribbles_in_is_cut_off(server: Server):
    """Slow loris: the head as a whole has ten seconds, and meanwhile others are served."""
    started = time.monotonic()
    with Wire(server) as slow:
        slow.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        slow.socket.settimeout(0.5)
        answer = b""
        while time.monotonic() < started + 14 and not answer:
            slow.send(b"X: x\r\n")
            assert server.http.get("/livez").status_code == 200
            try:
                answer = slow.read()
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 13


def test_many_slow_heads_keep_nobody_out(server: Server):
    wires = [Wire(server) for _ in range(300)]
    try:
        for wire in wires:
            wire.send(b"GET /livez HTTP/1.1\r\nHo")
        started = time.monotonic()
        assert httpx.get(f"{server.url}/livez", timeout=PATIENCE).status_code == 200
        assert time.monotonic() - started < 5
    finally:
        for wire in wires:
            wire.socket.close()


def test_an_answer_that_nobody_reads_holds_nobody_up(server: Server, producer: Producer, ada):
    for _ in range(30):
        producer.post(ada, body="x" * 4000, data="x" * 30_000)
    request = f"GET /v1/inbox HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token(ada)}\r\n\r\n"
    with Wire(server, receive_buffer=4096) as deaf:
        deaf.send(request.encode() * 50)
        started = time.monotonic()
        producer.post(ada)
        assert time.monotonic() - started < 5
