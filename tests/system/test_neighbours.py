"""Who attacks over HTTP is not felt by a neighbour, with or without a token.

Attackers come from loopback addresses, which have no limits of their own as addresses: so it is the
node itself that holds, and not its limits. What these do, and how they count whoever is behind a
proxy, is at the end.
"""

from __future__ import annotations

import base64
import math
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, PRODUCER, token
from tests.system.attacking_kit import Attack, Result, attacked
from tests.system.neighbour_kit import expect_unfelt
from tests.system.raw_kit import Wire, upgrade_request
from tests.system.server_kit import Server, fresh_user
from tests.system.shared_servers_kit import Store, run_server

pytestmark = [
    pytest.mark.alone,
    # What the store has to do with it is the same with each.
    pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session"),
]
SECONDS = 1.0
BLANKS = b" \t" * 7500


def request(line: str, *fields: str, credential: str = "", body: bytes = b"") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: localhost", *fields]
    if credential:
        lines.append(f"Authorization: Bearer {credential}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


LIVE = request("GET /livez")
HEALTH_CHECKS = ("GET /livez", "GET /readyz")
UNKNOWN = "01890000-0000-7000-8000-000000000000"


def expect_bearable(server: Server, attack: Attack, *statuses: str) -> Result:
    """The *attack* is not felt, and it was one: the node has answered with all of *statuses*."""
    told = Result()

    @contextmanager
    def attacking() -> Iterator[None]:
        with attacked(server, attack, SECONDS) as result:
            yield
        told.__dict__.update(result.__dict__)

    before = server.process.num_fds()
    expect_unfelt(server, attacking)
    assert told.came >= attack.connections
    assert told.statuses.keys() >= set(statuses), told
    wait_until(lambda: server.process.num_fds() <= before + 2, what="the sockets to be closed")
    actors = server.http.get("/v1/admin/actors", headers={"Authorization": f"Bearer {ADMIN}"})
    assert actors.status_code == 200
    assert actors.text.count('"http') <= 10, "connections have been left behind"
    return told


def test_nobody_is_not_felt(server: Server):
    """What a neighbour feels of this machine alone."""
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


def test_who_comes_and_goes(server: Server):
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


# --- Bodies ---------------------------------------------------------------------------------------


def test_unfinished_bodies_of_one_user(server: Server):
    eve = token(fresh_user("eve"))
    body = b" " * 20_000
    mark = request("POST /v1/inbox/mark", "Content-Length: 20001", credential=eve, body=body)
    expect_bearable(server, Attack(first=mark, connections=300))


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch"])
def test_unfinished_bodies_of_one_producer(server: Server, path):
    """More than fits; what is too much is refused, and the connection ends."""
    head = request(f"POST {path}", "Content-Length: 1000000", credential=PRODUCER)
    attack = Attack(first=head + b" " * 999_999, connections=300)
    expect_bearable(server, attack, "429")


@pytest.mark.parametrize("framing", ["Content-Length: 20000", "Transfer-Encoding: chunked"])
def test_bodies_that_dribble(server: Server, framing):
    eve = token(fresh_user("eve"))
    body = b" " * 20_000 if "Length" in framing else b"1\r\n \r\n" * 3000
    mark = request("POST /v1/inbox/mark", framing, credential=eve, body=body)
    expect_bearable(server, Attack(first=mark, connections=200, piece=1, pause=0.02))


@pytest.mark.parametrize(
    ("line", "credential"),
    [
        ("POST /v1/inbox/mark", ""),
        ("POST /v1/inbox/ack", ""),
        (f"PATCH /v1/notifications/{UNKNOWN}", PRODUCER),
        ("POST /v1/notifications/batch", PRODUCER),
    ],
    ids=lambda each: str(each)[:30],
)
def test_bodies_in_tiny_chunks(server: Server, line, credential):
    eve = token(fresh_user("eve"))
    head = request(line, "Transfer-Encoding: chunked", credential=credential or eve)
    attack = Attack(again=(head + b"1\r\n \r\n" * 100_000,), connections=100)
    expect_bearable(server, attack)


def test_chunks_that_are_none(server: Server):
    eve = token(fresh_user("eve"))
    head = request("POST /v1/inbox/ack", "Transfer-Encoding: chunked", credential=eve)
    bodies = [
        b"f" * 15_000,
        b"0" * 15_000 + b"\r\n",
        b"1;" + b" " * 15_000,
        b"1\n \n0\n\n",
        b"-1\r\n",
        b"1\r\n   \r\n",
        b"0\r\n" + b"X: y\r\n" * 5_000,
        b"0\r\nno field\r\n\r\n",
    ]
    heads = tuple(head + body for body in bodies)
    expect_bearable(server, Attack(again=heads, connections=50, patient=True), "400")


# --- Readers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_inbox(server: Server) -> str:
    eve = fresh_user("eve")
    for _ in range(60):
        server.producer().post(eve, body="x" * 4000, data="x" * 28_000)
    return token(eve)


@pytest.mark.parametrize(
    "line", ["GET /v1/inbox?limit=8", "GET /v1/inbox/changes", "GET /v1/me/devices"]
)
@pytest.mark.parametrize("reads", [0, 1])
def test_slow_readers_of_a_full_inbox(server: Server, full_inbox, line, reads):
    page = request(line, credential=full_inbox)
    attack = Attack(again=(page * 50,), connections=60, reads=reads, receive_buffer=4096)
    expect_bearable(server, attack)


@pytest.mark.parametrize("line", ["GET /v1/inbox/stream", "GET /v1/inbox/changes?wait=9"])
def test_new_devices_in_a_loop(server: Server, line):
    eve = token(fresh_user("eve"))
    mark = "&" if "?" in line else "?"
    asking = request(f"{line}{mark}device=d%NUMBER%", credential=eve)
    expect_bearable(server, Attack(again=(asking,), connections=20, patient=True))


def test_streams_whose_clients_say_more(server: Server):
    eve = token(fresh_user("eve"))
    stream = request("GET /v1/inbox/stream?device=d%NUMBER%", credential=eve)
    attack = Attack(first=stream, again=(LIVE * 1000,), connections=100)
    expect_bearable(server, attack)


# --- One address ----------------------------------------------------------------------------------


def ask_from(server: Server, source: str, head: bytes) -> int:
    """The status of the answer to *head* on a connection of its own from *source*."""
    with socket.create_connection(("127.0.0.1", server.port), 5, (source, 0)) as peer:
        peer.sendall(head)
        return int(peer.recv(65536).split(b" ", 2)[1])


def test_one_address_takes_every_connection(start_server, new_store):
    """Who asks whether the node lives is answered, and who is inside feels nothing."""
    server = start_server(connections_max=200, **new_store())
    statuses: list[int] = []

    @contextmanager
    def attacking() -> Iterator[None]:
        attack = Attack(first=b"GET /livez HTTP/1.1\r\nHo", connections=400)
        with attacked(server, attack, math.inf):
            wait_until(lambda: ask_from(server, "127.0.0.2", request("GET /v1/inbox")) == 503)
            ended = time.monotonic() + SECONDS
            while time.monotonic() < ended or len(statuses) <= 4:
                statuses.extend(
                    ask_from(server, "127.0.0.2", request(line)) for line in HEALTH_CHECKS
                )
                time.sleep(0.05)  # waits for: the clock itself
            yield

    expect_unfelt(server, attacking)
    assert len(statuses) > 4
    assert set(statuses) == {200}
    assert ask_from(server, "127.0.0.1", request("GET /nothing")) == 404


EVE = "X-Forwarded-For: 1.2.3.4, 203.0.113.7"
OTHER = "X-Forwarded-For: 203.0.113.7, 203.0.113.8"


@pytest.fixture(scope="module")
def proxied(new_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a proxy, where addresses have little."""
    little = {"peer-connections-max": 20, "peer-rate": 50, "peer-requests-max": 20}
    settings = {"forwarded-from": "127.0.0.0/8", **little, **new_store()}
    yield from run_server(Server(tmp_path_factory.mktemp("proxied"), settings))


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (request("GET /livez", EVE) * 1000, "429"),
        (request("GET /v1/inbox", EVE) * 1000, "429"),
        (upgrade_request(headers=[EVE]), "429"),
        (request("GET /v1/inbox/stream", EVE, credential=token("eve")), "429"),
        (request("GET /v1/inbox/changes?wait=9", EVE, credential=token("eve")), "429"),
    ],
    ids=["pipelined", "no credential", "upgrades", "streams", "polls"],
)
def test_an_address_behind_a_proxy_has_its_share_and_no_more(proxied: Server, said, status):
    others: list[int] = []

    @contextmanager
    def attacking() -> Iterator[None]:
        attack = Attack(again=(said,), connections=60, patient=True)
        with attacked(proxied, attack, SECONDS) as result:
            for _ in range(10):
                head = upgrade_request(headers=[OTHER])
                others.append(ask_from(proxied, "127.0.0.2", head))
                time.sleep(SECONDS / 12)  # waits for: the clock itself
            yield
        assert result.statuses[status] > 10, result

    expect_unfelt(proxied, attacking)
    assert set(others) == {101}


def test_tiny_limits_of_bodies_hold_where_nothing_is_declared(start_server, new_store):
    """On the lean lane, where the body is streamed, and where the framework takes it."""
    names = ("body_bytes_max", "batch_bytes_max", "credential_body_bytes_max")
    server = start_server(**dict.fromkeys(names, "64KiB"), **new_store())
    for line in (
        "POST /v1/notifications",
        "POST /v1/notifications/batch",
        f"PATCH /v1/notifications/{UNKNOWN}",
    ):
        head = request(line, "Transfer-Encoding: chunked", credential=PRODUCER)
        with Wire(server) as first, Wire(server) as second:
            first.send(head + b"a000\r\n" + b" " * 0xA000)
            wait_until(
                lambda: server.http.get("/livez").status_code == 200, what="the first to be read"
            )
            status, headers, _ = second.ask(head + b"a000\r\n" + b" " * 0xA000)
            assert status == 429, line
            assert headers["retry-after"]
    server.expect_sound()


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
