"""A server that does not start tells in a sentence what to mend, on every Python."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.node import ROOT
from servers.tokens import SECRET


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refusal(directory: Path, *flags: str) -> str:
    """The words of `tocsin serve` about a start that it refuses."""
    result = subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", "--data", str(directory), *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TOCSIN_JWT_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr.rpartition("Error: ")[2]
    *_, last = result.stderr.splitlines()
    assert last.startswith("Error: "), result.stderr[-2000:]
    return last


def test_a_port_in_use(tmp_path, taken):
    assert str(taken) in refusal(tmp_path, "--port", str(taken))


def test_a_host_that_is_not_of_this_machine(tmp_path):
    assert "192.0.2.1" in refusal(tmp_path, "--port=0", "--host=192.0.2.1")


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "tocsin.db").write_bytes(b"no database at all, and longer than a page" * 1000)
    assert "The store cannot be used" in refusal(tmp_path, "--port=0")
