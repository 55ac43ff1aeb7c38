"""As many connections as there are file descriptors for."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from servers.node import wait_until
from tests.system.server_kit import Server, fresh_user
from tocsin.cli.serving.descriptors import KEPT, connections_allowed

NARROW = ("sh", "-c", 'ulimit -Sn 250 && ulimit -Hn 300 && exec "$@"', "sh")


@pytest.mark.parametrize(
    ("limit", "wanted", "allowed"),
    [
        (1_048_576, 20_000, 20_000),
        (20_000 + KEPT, 20_000, 20_000),
        (20_000 + KEPT - 1, 20_000, 19_999),
        (1024, 20_000, 1024 - KEPT),
        (1024, 10, 10),
        (KEPT, 20_000, 1),
        (1, 1, 1),
        (resource.RLIM_INFINITY, 1_000_000, 1_000_000),
    ],
)
def test_connections_leave_room_for_what_else_is_open(limit, wanted, allowed):
    assert connections_allowed(limit, wanted) == allowed


@pytest.fixture
def start(tmp_path: Path):
    servers: list[Server] = []

    def start(prefix: tuple[str, ...] = (), **settings: object) -> Server:
        flags = {name.replace("_", "-"): value for name, value in settings.items()}
        servers.append(Server(tmp_path, flags, prefix=prefix))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


def warnings(server: Server) -> list[dict[str, object]]:
    return [line for line in server.log() if line["event"].startswith("too few file descriptors")]


def test_a_node_takes_all_the_descriptors_that_it_may_have(start: Callable[..., Server]):
    server = start(NARROW, connections_max=100)
    assert server.process.rlimit(psutil.RLIMIT_NOFILE) == (300, 300)
    assert warnings(server) == []


def test_a_node_with_too_few_descriptors_says_so_and_serves_fewer(start: Callable[..., Server]):
    server = start(NARROW)
    [line] = warnings(server)
    assert line["level"] == "warning"
    assert (line["wanted"], line["connections_max"], line["descriptors"]) == (20_000, 100, 300)
    assert "LimitNOFILE=" in str(line["remedy"])
    assert "ulimit -n" in str(line["remedy"])
    # One connection is that of the client which asks whether the server is ready.
    devices = [server.device(fresh_user()) for _ in range(99)]
    assert server.is_ready()
    for device in devices:
        device.vanish()
    assert not [line for line in server.log() if "cannot accept" in line["event"]]


def test_workers_have_the_same_limits(
    start: Callable[..., Server], postgres_url: str, redis_url: str
):
    server = start(NARROW, database=postgres_url, redis=redis_url, workers=2, drain_time=1)
    wait_until(lambda: len(server.process.children()) == 2, what="the workers")
    for worker in server.process.children():
        assert worker.rlimit(psutil.RLIMIT_NOFILE) == (300, 300)
    assert len(warnings(server)) == 1
