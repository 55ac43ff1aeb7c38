"""Several processes on one port: each a node, kept alive by a parent that serves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from servers.machine import free_port
from servers.node import wait_until
from tests.system.device_kit import Device, settled
from tests.system.server_kit import Server, fresh_user

WORKERS = 3


@pytest.fixture
def workers(start_server: Callable[..., Server], postgres_url: str, redis_url: str) -> Server:
    """Three workers, all of them serving."""
    workers = start_server(
        database=postgres_url, redis=redis_url, workers=WORKERS, node="n", drain_time=2
    )
    wait_until(lambda: len(said(workers, "store ready")) == WORKERS, what="all workers")
    wait_until(lambda: len(said(workers, "bus ready")) == WORKERS, what="all workers")
    return workers


def said(workers: Server, event: str) -> list[str]:
    """Which workers have logged *event*, once for each time."""
    return [line["node"] for line in workers.log() if line["event"] == event]


def started(workers: Server, worker: str) -> list[int]:
    """The process ids that *worker* has had."""
    lines = [line for line in workers.log() if line["event"] == "worker started"]
    return [line["pid"] for line in lines if line["worker"] == worker]


@pytest.fixture
def crowd(workers: Server) -> Iterator[list[Device]]:
    """So many connections that no worker is left out."""
    devices = [workers.device(fresh_user()) for _ in range(16 * WORKERS)]
    with settled(*devices):
        for device in devices:
            device.expect_synced()
        yield devices


def test_the_kernel_deals_connections_out_to_all_workers(crowd: list[Device]):
    nodes = [device.welcome["node"] for device in crowd]
    counts = {node: nodes.count(node) for node in nodes}
    assert set(counts) == {"n-1", "n-2", "n-3"}
    assert min(counts.values()) >= 4


def test_devices_of_one_user_on_different_workers_are_as_on_one(workers: Server):
    ada = fresh_user()
    devices = [workers.device(ada, f"device-{number}") for number in range(16)]
    with settled(*devices):
        for device in devices:
            device.expect_synced()
        assert len({device.welcome["node"] for device in devices}) > 1
        workers.producer().post(ada, title="to all of them")
        for device in devices:
            device.ack(device.expect_push("to all of them"))


def test_a_killed_worker_is_started_again_and_the_others_never_notice(
    workers: Server, crowd: list[Device]
):
    victims = [each for each in crowd if each.welcome["node"] == "n-2"]
    others = [each for each in crowd if each.welcome["node"] != "n-2"]

    os.kill(started(workers, "n-2")[0], signal.SIGKILL)

    wait_until(lambda: len(started(workers, "n-2")) == 2)
    wait_until(lambda: said(workers, "listening").count("n-2") == 2)
    for victim in victims:
        assert list(victim.frames_to_the_end()) == []
    for other in others:
        other.expect_nothing_before_pong()


def test_a_worker_that_is_told_to_stop_drains_and_comes_back(workers: Server, crowd: list[Device]):
    os.kill(started(workers, "n-3")[0], signal.SIGTERM)

    for device in crowd:
        if device.welcome["node"] == "n-3":
            device.expect_goodbye(4000)
        else:
            device.expect_nothing_before_pong()
    wait_until(lambda: said(workers, "listening").count("n-3") == 2)


def test_a_stop_is_passed_on_and_waited_for(workers: Server, crowd: list[Device]):
    children = workers.process.children()
    workers.signal(signal.SIGTERM)
    for device in crowd:
        device.expect_goodbye(4000)
    assert workers.wait() == 0
    assert not any(child.is_running() for child in children)


def test_a_service_manager_may_signal_every_process_at_once(workers: Server, crowd: list[Device]):
    for process in [*workers.process.children(), workers.process]:
        process.terminate()
    for device in crowd:
        device.expect_goodbye(4000)
    assert workers.wait() == 0


def test_a_worker_does_not_outlive_its_parent(workers: Server, crowd: list[Device]):
    children = workers.process.children()
    assert len(children) == WORKERS
    workers.kill()
    for device in crowd:
        device.expect_goodbye(4000)
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_the_port_is_held_against_strangers(workers: Server):
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", workers.port))


def test_a_port_in_use_is_refused_before_anything_starts(workers: Server):
    refused = serve(workers, f"--port={workers.port}", "--workers=2")
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{workers.port}: another program" in refused.stderr


def test_a_fault_that_no_restart_mends_ends_the_whole(workers: Server):
    # Only the workers open the metrics port.
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        refused = serve(workers, "--port=0", "--workers=2", f"--metrics-port={port - 1}")
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr


def test_the_embedded_store_and_no_redis_are_refused_with_the_reason(tmp_path):
    refused = subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", "--workers=2", f"--data={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "embedded store belongs to one process" in refused.stderr
    assert "without redis" in refused.stderr


def serve(like: Server, *flags: str) -> subprocess.CompletedProcess[str]:
    """`tocsin serve` with the services of *like*; it is expected to end by itself."""
    services = [f"--{name}={like.settings[name]}" for name in ("database", "redis", "data")]
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", *services, *flags],
        env=like.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
