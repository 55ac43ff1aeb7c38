"""Behind a proxy, each client has limits of its own, and none can pass for another.

The clients' addresses come to the proxies as they do from a balancer in front of them, by the PROXY
protocol: an address of loopback has no limits.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.haproxy import HAProxy
from servers.machine import free_port
from servers.nginx import WEBSOCKETS_HTTP, WEBSOCKETS_LOCATION, Nginx
from servers.node import PATIENCE, wait_until
from servers.tokens import PRODUCER, token
from tests.system.proxy_kit import node_of, shipped
from tests.system.raw_kit import Wire, upgrade_request
from tests.system.server_kit import Server

pytestmark = pytest.mark.alone
MALLORY, ADA = "198.51.100.2", "198.51.100.3"
TRUSTING = {"forwarded_from": "127.0.0.1"}
Knock = Callable[[str], Wire]


class Visitor(Wire):
    """A connection to a proxy on *port* that comes from *address*."""

    def __init__(self, port: int, address: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._buffer = b""
        self.send(f"PROXY TCP4 {address} 192.0.2.1 50000 {port}\r\n".encode())


def nginx_for(node: str, port: int, _: Path) -> Nginx:
    listening = f"listen 127.0.0.1:{port} proxy_protocol; set_real_ip_from 127.0.0.1;"
    appending = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    return Nginx(
        [node],
        http=WEBSOCKETS_HTTP,
        upstream="keepalive 8;",
        server=f"{listening} real_ip_header proxy_protocol;",
        location=f"{WEBSOCKETS_LOCATION} {appending} proxy_request_buffering off;",
    )


def haproxy_for(node: str, port: int, directory: Path, more: str = "") -> HAProxy:
    configuration = directory / "haproxy.cfg"
    bind = "bind :443 ssl crt /etc/haproxy/notify.pem alpn h2,http/1.1"
    configuration.write_text(
        shipped(
            "haproxy.cfg",
            {
                "127.0.0.1:8080": node,
                bind: f"bind 127.0.0.1:{port} accept-proxy",
                "    option httpchk": f"{more}    option httpchk",
            },
        )
    )
    return HAProxy([], port, configuration=configuration)


class Chain:
    """HAProxy before nginx: each writes down whom it got the request from."""

    def __init__(self, node: str, port: int, directory: Path) -> None:
        self._inner = nginx_for(node, free_port(), directory)
        # It asks whether a node lives in HTTP/1.0, where nginx has no Host to hand on.
        naming = "    http-check send hdr Host localhost ver HTTP/1.1\n"
        self._outer = haproxy_for(f"127.0.0.1:{self._inner.port}", port, directory, naming)

    def start(self) -> None:
        self._inner.start()
        self._outer.start()

    def close(self) -> None:
        self._outer.close()
        self._inner.close()


@pytest.fixture(params=[nginx_for, haproxy_for, Chain], ids=["nginx", "haproxy", "both"])
def knocking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Server], Knock]]:
    """Puts a proxy before a server; what it returns connects from an address."""
    proxies: list[Nginx | HAProxy | Chain] = []
    visitors: list[Visitor] = []

    def before(server: Server) -> Knock:
        port = free_port()
        proxies.append(request.param(node_of(server), port, tmp_path))
        proxies[0].start()

        def knock(address: str) -> Wire:
            visitors.append(Visitor(port, address))
            return visitors[-1]

        wait_until(lambda: knock("203.0.113.9").ask(get())[0] == 200)
        return knock

    yield before
    for visitor in visitors:
        visitor.socket.close()
    for proxy in proxies:
        proxy.close()


def get(path: str = "/livez", *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def expect_limit(answer: tuple[int, dict[str, str], bytes], name: str) -> None:
    status, headers, body = answer
    assert status == 429, (status, body)
    assert json.loads(body)["code"] == "rate_limited"
    assert int(headers["retry-after"]) >= 1
    if name != "peer_connections_max":  # for which the draft has no unit
        assert headers["ratelimit-policy"].startswith(f'"{name}";q=')
        assert headers["ratelimit"].startswith(f'"{name}";r=0;t=')


def refusals_of(server: Server, reason: str, since: int = 0) -> set[str]:
    """The addresses that the log names as refused, behind the byte *since*."""
    lines = [line for line in server.log(since) if line["event"] == "refused"]
    return {line["address"] for line in lines if line["reason"] == reason}


FORGED: tuple[list[str], ...] = (
    [],
    [f"X-Forwarded-For: {ADA}"],
    ["X-Forwarded-For: 127.0.0.1"],
    [f"X-Forwarded-For: {ADA}, 127.0.0.1", f"Forwarded: for={ADA}"],
    [f"Forwarded: for={ADA}"],
    [f'X-Forwarded-For: "{ADA}'],
)
"""The claims of Mallory: none, that she is Ada, the proxy, or both; half a quote."""


def test_a_rate_is_each_clients_own(start_server, knocking):
    server = start_server(**TRUSTING, peer_rate=5, rate_window="1s")
    knock = knocking(server)
    mallory, ada = knock(MALLORY), knock(ADA)
    for forged in FORGED:
        since = server.log_size
        answers = [mallory.ask(get("/livez", *forged)) for _ in range(30)]
        assert ada.ask(get())[0] == 200, forged

        refused = [answer for answer in answers if answer[0] != 200]
        assert len(refused) >= 15, forged
        for answer in refused:
            expect_limit(answer, "peer_rate")
        assert refusals_of(server, "peer_rate", since) <= {MALLORY}, forged
        wait_until(lambda: is_answered(mallory), what="her turn again")
    assert refusals_of(server, "peer_rate") == {MALLORY}


def is_answered(wire: Wire) -> bool:
    return wire.ask(get())[0] == 200


def test_requests_under_way_are_each_clients_own(start_server, knocking):
    server = start_server(**TRUSTING, peer_requests_max=2)
    knock = knocking(server)
    body = json.dumps({"to": {"users": ["ada"]}, "title": "Hello"}).encode()
    unfinished = (
        f"POST /v1/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {PRODUCER}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body[:-1]
    slow = [knock(MALLORY) for _ in range(2)]
    for each in slow:
        each.send(unfinished)

    mallory, ada = knock(MALLORY), knock(ADA)
    wait_until(lambda: mallory.ask(get())[0] == 429)
    expect_limit(mallory.ask(get()), "peer_requests_max")
    assert ada.ask(get())[0] == 200
    assert refusals_of(server, "peer_requests_max") == {MALLORY}

    slow[0].send(body[-1:])
    assert slow[0].read_answer()[0] == 201
    wait_until(lambda: mallory.ask(get())[0] == 200)


def test_connections_are_each_clients_own(start_server, knocking):
    """Those that last: WebSockets and streams. Which of its own a proxy uses for what is its
    business."""
    server = start_server(**TRUSTING, peer_connections_max=2)
    knock = knocking(server)
    socket_ = knock(MALLORY).upgrade("mallory")
    stream = knock(MALLORY)
    stream.send(get("/v1/inbox/stream", f"Authorization: Bearer {token('mallory')}"))
    while b"welcome" not in stream.read():
        pass

    for asked in (
        upgrade_request("mallory"),
        get("/v1/inbox/stream", f"Authorization: Bearer {token('mallory')}"),
        get("/v1/inbox/changes?wait=5", f"Authorization: Bearer {token('mallory')}"),
    ):
        for _ in range(3):
            expect_refused_connection(knock(MALLORY), asked)
    assert refusals_of(server, "peer_connections_max") == {MALLORY}
    # A connection that ends at once does not count; and the others feel nothing of it.
    assert knock(MALLORY).ask(get())[0] == 200
    for _ in range(2):
        ada = knock(ADA).upgrade("ada")
        ada.say("hello", device=None)
        assert ada.read_text()["type"] == "welcome"

    socket_.socket.close()
    wait_until(lambda: is_upgraded(knock(MALLORY)), what="room for another")


def expect_refused_connection(wire: Wire, asked: bytes) -> None:
    """In HTTP, or in the language of what was asked for."""
    status, headers, body = wire.ask(asked)
    if status == 101:
        wire.expect_goodbye(4429)
    elif status == 200:
        assert headers["content-type"] == "text/event-stream"
        while b'"code":4429' not in body:
            body += wire.read_exactly(1)
    else:
        expect_limit((status, headers, body), "peer_connections_max")


def is_upgraded(wire: Wire) -> bool:
    return wire.ask(upgrade_request("mallory"))[0] == 101
