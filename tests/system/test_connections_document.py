"""The first session of docs/connections.md does what it says when it is pasted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from servers.machine import free_port
from servers.node import ROOT, wait_until
from tests.system.receiver_kit import OPEN
from tests.system.server_kit import Server

DOCUMENT = (ROOT / "docs" / "connections.md").read_text()
TOCSIN = """\
#!/bin/sh
exec {python} -P -m tocsin "$@" --url {url} --data {data}
"""


def fence(language: str) -> str:
    """The first code in *language*."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def sender(tmp_path):
    (tmp_path / "node").mkdir()
    # With a development secret of its own, as the session has.
    server = Server(tmp_path / "node", OPEN, environment={"TOCSIN_JWT_SECRET": ""})
    yield server.start()
    server.close()
    server.expect_no_bugs()


def test_the_session_tells_the_receiver(sender, tmp_path):
    program = TOCSIN.format(python=sys.executable, url=sender.url, data=sender.settings["data"])
    (tmp_path / "tocsin").write_text(program)
    (tmp_path / "tocsin").chmod(0o755)
    (tmp_path / "receiver.py").write_text(fence("python"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        session = subprocess.Popen(
            ["sh", "-c", fence("sh").replace("9000", str(free_port())) + "wait\n"],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: "delivered ada" in said.read_text(), what="the receiver's words")
        finally:
            os.killpg(session.pid, signal.SIGTERM)
            session.wait()


def test_the_server_is_started_with_what_the_session_needs():
    command = next(line for line in DOCUMENT.splitlines() if line.startswith("tocsin serve"))
    flags = [f"--{name} {value}" for name, value in OPEN.items()]
    assert all(flag in command for flag in flags)
