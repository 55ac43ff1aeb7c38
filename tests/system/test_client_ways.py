"""The client for browsers behind proxies that break WebSockets, or hold streams back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from servers.nginx import Nginx
from servers.node import wait_until
from tests.system.page_kit import Follow, follow_with, web_socket_command
from tests.system.server_kit import Server

UPGRADES_REFUSED = "proxy_read_timeout 70s;"
"""Without the header `Upgrade`, which nginx passes on only where it is told to."""
HELD_BACK = f"{UPGRADES_REFUSED} proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
WAYS = {"stream": UPGRADES_REFUSED, "poll": HELD_BACK}


@pytest.fixture(scope="module")
def follow() -> Follow:
    return follow_with(web_socket_command())


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    shared: Server = sqlite_servers.get("server", {})
    return shared


@pytest.fixture(params=WAYS)
def way(request) -> str:
    chosen: str = request.param
    return chosen


def proxy_to(server: Server, way: str) -> Nginx:
    return Nginx([f"127.0.0.1:{server.port}"], location=WAYS[way])


@pytest.fixture
def proxy(server, way) -> Iterator[Nginx]:
    with proxy_to(server, way) as proxy:
        yield proxy


def is_acknowledged(producer, notification):
    outcome = producer.ledger(notification)["page"]["outcome"]
    return outcome == "acknowledged"


def test_it_finds_a_way_and_loses_nothing(producer, proxy, way, follow, ada):
    first = producer.post(ada, title="before")
    with follow(proxy, ada, refuse="bad") as page:
        assert page.seen[-1]["transport"] == way
        assert page.expect_push() == "before"
        wait_until(partial(is_acknowledged, producer, first))
        ids = [producer.post(ada, title=f"no. {number}") for number in range(40)]
        assert [page.expect_push() for _ in ids] == [f"no. {number}" for number in range(40)]
        wait_until(partial(is_acknowledged, producer, ids[-1]))
        page.ask("mark", "read", ids[0])
        page.expect("inbox", lambda told: told["unread"] == 40)


@pytest.mark.faults
def test_a_push_that_a_handler_refuses_comes_again(server, way, proxy, follow, ada):
    producer = server.producer()
    with follow(proxy, ada, refuse="bad") as page:
        refused = producer.post(ada, title="bad")
        assert page.expect_push() == "bad"
        wait_until(partial(is_acknowledged, producer, refused))


@pytest.mark.faults
def test_through_a_killed_server_nothing_is_missed_or_told_twice(start_server, way, follow, ada):
    own = start_server()
    producer = own.producer()
    with proxy_to(own, way) as proxy, follow(proxy, ada) as page:
        told = []
        for round_ in range(3):
            told += [producer.post(ada, title=f"{round_}.{number}") for number in range(10)]
            own.kill()
            own.start()
        titles = [page.expect_push() for _ in told]
        assert titles == [f"{round_}.{number}" for round_ in range(3) for number in range(10)]


def test_another_connection_of_the_device_ends_it_for_good(server, way, proxy, follow, ada):
    path = f"/v1/users/{ada}/presence"
    with follow(proxy, ada) as page:
        # A device that polls is there while a poll waits.
        wait_until(lambda: server.producer().request("GET", path).json()["online"])
        with server.device(ada, "page"):
            stopped = page.expect("state", lambda told: told["phase"] == "stopped")
            assert stopped["reason"] == "replaced"
