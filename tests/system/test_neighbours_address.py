"""An attacker with one address has its share, behind a proxy too, and a neighbour feels nothing."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from servers.node import wait_until
from servers.tokens import token
from tests.system.attacking_kit import Attack, attacked
from tests.system.bearable_kit import SECONDS, request
from tests.system.neighbour_kit import expect_unfelt
from tests.system.raw_kit import upgrade_request
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import Store, run_server

pytestmark = [
    pytest.mark.alone,
    # The store's part in it is the same with each adapter.
    pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session"),
]


HEALTH_CHECKS = ("GET /livez", "GET /readyz")


def ask_from(server: Server, source: str, head: bytes) -> int:
    """The status of the answer to *head* on a connection of its own from *source*."""
    with socket.create_connection(("127.0.0.1", server.port), 5, (source, 0)) as peer:
        peer.sendall(head)
        return int(peer.recv(65536).split(b" ", 2)[1])


def test_one_address_takes_every_connection(start_server, new_store):
    """A probe of the node's life is answered, and clients that are inside feel nothing."""
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
