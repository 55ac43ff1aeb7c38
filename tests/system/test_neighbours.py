"""An attack over HTTP is not felt by a neighbour, with or without a token.

The attackers come from loopback addresses, which have no limits of their own as addresses: so the
node itself holds, and not its limits. `test_neighbours_address` shows the limits, and how a node
counts clients behind a proxy.
"""

from __future__ import annotations

import base64
import re
import signal
import time
from contextlib import ExitStack

import pytest

from servers.node import wait_until
from servers.tokens import PRODUCER, token
from tests.system.attacking_kit import Attack
from tests.system.bearable_kit import LIVE, expect_bearable, request
from tests.system.raw_kit import Wire, upgrade_request
from tests.system.server_kit import Server, fresh_user

pytestmark = [
    pytest.mark.alone,
    # The store's part in it is the same with each adapter.
    pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session"),
]
BLANKS = b" \t" * 7500


def test_a_neighbour_alone_is_not_felt(server: Server):
    """A neighbour bears the machine alone, without an attack."""
    expect_bearable(server, Attack(connections=0))


# --- Heads ----------------------------------------------------------------------------------------


def blank_heads(*, later: bool) -> tuple[bytes, ...]:
    """Blanks before, in and behind a header's value, with and without a byte that is wrong."""
    values = [BLANKS + b"x", b"x" + BLANKS + b"x", b"x" + BLANKS, BLANKS]
    values += [value + bad for value in values for bad in (b"\0", b"\r", b"\x7f")]
    values += [b"\0" + BLANKS, b"x\0" + BLANKS + b"x"]
    before = LIVE if later else b""
    return tuple(before + LIVE.replace(b"Host", b"X:" + value + b"\r\nHost", 1) for value in values)


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_heads_full_of_blanks(server: Server, later):
    attack = Attack(again=blank_heads(later=later), connections=50)
    expect_bearable(server, attack, "200", "400")


ODD_HEADS = [
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"eyJ-" * 2500 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"/" * 15000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"%" * 15000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"%2f" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/users/" + b"%c3%a9" * 2500 + b"/inbox HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://" + b"a" * 15000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/inbox/stream?" + b"&" * 15000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/inbox/stream?ticket=" + b"%00" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: " + b"a." * 7500 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: xn--" + b"a" * 250 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [" + b":" * 15000 + b"]\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X:\r\n" * 3500 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + b"a," * 7500 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + b"1," * 7500 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: " + b'for="' * 3000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://" + b"[" * 15000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a=b;" * 3700 + b"\r\n\r\n",
    b"GET /v1/inbox HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + b'"a",' * 3700 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + b"\xff" * 15000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: " + b"x" * 15000 + b"\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /livez HTTP/1.0\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/notifications HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 15000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    b"x" * 20_000,
]


def test_methods_paths_hosts_and_headers_of_every_odd_kind(server: Server):
    attack = Attack(again=tuple(ODD_HEADS), connections=50, patient=True)
    expect_bearable(server, attack, "400", "401", "404", "405", "431", "505")


def encoded(header: bytes) -> str:
    return base64.urlsafe_b64encode(header).rstrip(b"=").decode()


ODD_TOKENS = [
    "tk_" + "a" * 15_000,
    "." * 15_000,
    "eyJ." * 3_700,
    encoded(b"[" * 11_000) + ".e30.AAAA",
    encoded(b'{"alg":' + b"9" * 11_000 + b"}") + ".e30.AAAA",
    encoded(b'{"alg":"none"}') + ".e30.",
    encoded(b'{"alg":"HS256","kid":"' + b"\xc3\xa9" * 5_000 + b'"}') + ".e30.AAAA",
    encoded(b'{"alg":"HS256"}') + "." + encoded(b'{"a":' * 2_000) + ".AAAA",
    encoded(b'{"alg":"HS256","crit":["x"],"b64":false}') + ".e30.AAAA",
]


def test_credentials_of_every_odd_kind(server: Server):
    heads = tuple(request("GET /v1/inbox", credential=each) for each in ODD_TOKENS)
    expect_bearable(server, Attack(again=heads, connections=50, patient=True), "401")


@pytest.mark.parametrize(
    "guess",
    [
        request("GET /v1/inbox/stream?ticket=%NUMBER%"),
        request("GET /v1/inbox", credential="tk_%NUMBER%_" + "a" * 32),
        request("GET /v1/inbox", credential=token("eve")[:-8] + "%NUMBER%"),
        upgrade_request(target="/v1/ws?ticket=%NUMBER%"),
    ],
    ids=["tickets", "keys", "signatures", "tickets of sockets"],
)
@pytest.mark.parametrize("connections", [20, 300])
def test_guesses_of_credentials(server: Server, guess, connections):
    attack = Attack(again=(guess,), connections=connections, patient=True)
    expect_bearable(server, attack, "101" if b"websocket" in guess else "401")


def test_heads_that_dribble(server: Server):
    """Of the first request, and behind one that was answered."""
    head = LIVE + request("GET /livez", "X: " + "x" * 10_000)
    attack = Attack(first=head, connections=300, piece=1, pause=0.02)
    expect_bearable(server, attack)


@pytest.mark.parametrize(
    "line", ["GET /livez", "GET /nothing", "GET /v1/inbox", "GET /v1/me/devices"]
)
def test_pipelined_requests_by_the_thousand(server: Server, line):
    eve = token(fresh_user("eve"))
    attack = Attack(again=(request(line, credential=eve) * 1000,), connections=100)
    expect_bearable(server, attack, "404" if "nothing" in line else "200")


def test_pipelined_requests_whose_answers_nobody_reads(server: Server):
    attack = Attack(again=(LIVE * 1000,), connections=100, reads=0, receive_buffer=4096)
    expect_bearable(server, attack)


def test_clients_that_come_and_go(server: Server):
    attack = Attack(again=(request("GET /livez", "Connection: close"),), connections=50)
    assert expect_bearable(server, attack, "200").came > attack.connections, "again"


# --- Handshakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [6, 100])
def test_handshakes_with_two_connection_headers(server: Server, connections):
    two = upgrade_request(headers=["Connection: keep-alive"])
    attack = Attack(first=two, connections=connections)
    expect_bearable(server, attack, "101")


def test_handshakes_that_cannot_be_answered(server: Server):
    good = upgrade_request()
    bad = (
        good.replace(b"Version: 13", b"Version: 12"),
        good.replace(b"dGhl", b"d\xe9"),
        good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        good.replace(b"/v1/ws", b"/v1/w"),
        good.replace(b"websocket", b"websocket, h2c"),
        upgrade_request(headers=["Sec-WebSocket-Protocol: " + "a," * 7000]),
        upgrade_request(headers=["Sec-WebSocket-Extensions: " + "a;" * 7000 + "\x01"]),
        upgrade_request(headers=["Origin: https://evil.example"]),
        upgrade_request(headers=["Content-Length: 9"]),
    )
    attack = Attack(again=bad, connections=50, patient=True)
    expect_bearable(server, attack, "400", "403", "404", "426")


# --- The end --------------------------------------------------------------------------------------


def test_a_node_that_stops_ends_requests_in_every_phase(start_server, new_store):
    """Those that it can answer are answered, and none keeps it."""
    server = start_server(drain_time=2, **new_store())
    eve = token(fresh_user("eve"))
    post = request("POST /v1/notifications", "Content-Length: 9", credential=PRODUCER)
    phases = {
        "idle": LIVE,
        "in a head": LIVE[:-2],
        "in a later head": LIVE + LIVE[:-2],
        "in a body": post + b"{",
        "in chunks": request(
            "POST /v1/inbox/mark", "Transfer-Encoding: chunked", credential=eve, body=b"5\r\n{"
        ),
        "behind a body": request("POST /v1/inbox/mark", "Content-Length: 9999", body=b"{"),
        "expecting": request(
            "POST /v1/inbox/mark", "Content-Length: 9", "Expect: 100-continue", credential=eve
        ),
        "polling": request("GET /v1/inbox/changes?wait=50", credential=eve),
        "following": request("GET /v1/inbox/stream", credential=eve),
        "following and talking": request("GET /v1/inbox/stream", credential=eve) + LIVE * 100,
        "a socket": upgrade_request(),
    }
    with ExitStack() as stack:
        wires = {phase: stack.enter_context(Wire(server)) for phase in phases}
        for phase, said in phases.items():
            wires[phase].send(said)
        wait_until(lambda: server.metric("tocsin_sessions") >= 3, what="all to be taken up")
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        ends = {phase: wire.read_to_end() for phase, wire in wires.items()}
        assert server.wait() == 0
        assert time.monotonic() - started < 8
    assert ends["in a head"] == b""
    assert ends["idle"].count(b"HTTP/1.1 200 ") == 1
    assert b"HTTP/1.1 401 " in ends["behind a body"]
    assert re.search(rb'"draining"|HTTP/1.1 503 ', ends["polling"])
    assert b'"draining"' in ends["following"]
