"""`tocsin load` as a process: against servers that keep their promises, and one that lies."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from servers.node import ROOT
from servers.tokens import SECRET
from tests.system.cluster_faults_kit import NewCluster
from tests.system.server_kit import Server


def run_load(url: str, directory: Path, *arguments: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, figures, and what it said."""
    figures = directory / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tocsin", "load", *map(str, arguments)),
            *("--url", url, "--jwt-secret", SECRET, "--json", str(figures), "--seed", "1"),
            *("--html", str(directory / "report.html")),
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    run = json.loads(figures.read_text()) if figures.exists() else {}
    return done.returncode, run, done.stdout + done.stderr


@pytest.fixture
def quick(start_server) -> Server:
    """A server that sends again soon."""
    server: Server = start_server(resend_delay="1s")
    return server


def test_a_fan_out_reaches_every_device(quick, tmp_path):
    code, run, said = run_load(
        *(quick.url, tmp_path, "fanout", "--devices", 50, "--posts", 3, "--duration", "4s")
    )
    assert code == 0, said
    assert run["tally"]["pushes"] == 12 * 50
    assert run["push"]["count"] == 12 * 50
    assert "All thresholds held." in said
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_devices_that_are_cut_off_all_the_time_lose_nothing(quick, tmp_path):
    code, run, said = run_load(
        quick.url, tmp_path, "chaos", "--devices", 40, "--cuts", 0.3, "--duration", "6s"
    )
    assert code == 0, said
    assert run["tally"]["cut"] > 10


def test_dropped_pushes_come_again_and_repeated_posts_do_not(quick, tmp_path):
    code, run, said = run_load(quick.url, tmp_path, "retries", "--devices", 20, "--duration", "3s")
    assert code == 0, said
    assert run["tally"]["forgotten"] > 0
    assert run["tally"]["resent"] >= run["tally"]["forgotten"]
    assert run["tally"]["accepted"] == 150


def test_a_threshold_that_is_broken_is_an_exit_code(quick, tmp_path):
    (tmp_path / "strict.toml").write_text("p99 = 0.000001\n")
    code, run, said = run_load(
        *(quick.url, tmp_path, "fanout", "--devices", 5, "--duration", "1s"),
        *("--thresholds", tmp_path / "strict.toml"),
    )
    assert code == 1
    assert [each["name"] for each in run["breaches"]] == ["p99"]
    assert "BROKEN p99" in said


def test_another_machine_is_loaded_only_when_it_is_named(tmp_path):
    code, _, said = run_load("http://192.0.2.1:8080", tmp_path, "fanout")
    assert code == 2
    assert "--yes-remote 192.0.2.1" in said


def test_a_node_that_is_killed_costs_no_notification(
    new_cluster: NewCluster, postgres, redis_server, tmp_path
):
    cluster = new_cluster(postgres.create_database(), redis_server.create_database())
    victim = cluster.nodes[0]
    code, run, said = run_load(
        *(cluster.front.url, tmp_path, "nodekill", "--devices", 60, "--posts", 20),
        *("--duration", "6s", "--kill-after", "2s", "--kill", f"kill -9 {victim.process.pid}"),
    )
    assert code == 0, said
    assert run["tally"]["ended"] > 0, "no device was on the node that was killed"


# --- A server that lies ---------------------------------------------------------------------------


class Lying(socketserver.StreamRequestHandler):
    """Accepts every post and every device, and pushes nothing."""

    def handle(self) -> None:
        while (head := self._head()).endswith(b"\r\n"):
            if head.startswith(b"GET"):
                self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                self.wfile.write(_frame(b'{"type":"welcome"}') + _frame(b'{"type":"synced"}'))
                with suppress(ConnectionError):
                    self.rfile.read()
                return
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")

    def _head(self) -> bytes:
        lines = [self.rfile.readline()]
        while lines[-1] not in (b"\r\n", b""):
            lines.append(self.rfile.readline())
        return b"".join(lines)


@pytest.fixture
def liar() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lying) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


def _frame(payload: bytes) -> bytes:
    return bytes((0x81, len(payload))) + payload


def test_a_server_that_accepts_and_does_not_deliver_is_found_out(liar, tmp_path):
    code, run, said = run_load(
        *(liar, tmp_path, "fanout", "--devices", 3, "--posts", 4, "--duration", "1s"),
        *("--settle", "1s"),
    )
    assert code == 1
    assert run["figures"]["lost"] == 4 * 3
    assert "BROKEN lost" in said
