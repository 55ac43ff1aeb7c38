"""`./dev cluster` as a person calls it: wrongly, and to try what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from servers.machine import free_port
from servers.node import PATIENCE, wait_until
from servers.tokens import bearer

ROOT = Path(__file__).parent.parent


def test_a_setting_without_a_value_is_refused_in_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "drain-time"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "drain-time is not name=value" in done.stderr


def test_the_line_that_it_prints_makes_a_key_for_it(tmp_path):
    port, said = free_port(), tmp_path / "said"
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TOCSIN_")},
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "cluster", "--port", str(port), "--data", tmp_path / "data"]
    with said.open("wb") as out:
        cluster = subprocess.Popen(
            [*command, "drain-time=0.2"], cwd=ROOT, env=environment, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(
            lambda: cluster.poll() is not None or "Ctrl-C ends everything" in said.read_text(),
            patience=100,
            what="the cluster",
        )
        text = said.read_text()
        [line] = re.findall(r"^  (TOCSIN_DATABASE=.* key create .*)$", text, re.MULTILINE)
        line = line.replace("./dev", f"{sys.executable} -m tocsin")
        made = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/notifications",
            headers=bearer(made.stdout.splitlines()[-1]),
            json={"to": {"users": ["ada"]}, "title": "Hello"},
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        assert f"{tmp_path}/data" in text
    finally:
        cluster.send_signal(signal.SIGINT)
        cluster.wait(60)
