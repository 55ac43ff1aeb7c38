"""A node as a process of this machine: its start and end, its log, its answers over HTTP.

A wait ends as soon as its condition holds, and raises `AssertionError` after `PATIENCE` seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import httpx
import psutil

from servers.machine import free_port
from servers.tokens import ADMIN, SECRET, bearer

ROOT: Final = Path(__file__).parent.parent
PATIENCE: Final = 60.0
"""Seconds to wait for events that should happen at once: the machine may be busy."""
START_PATIENCE: Final = 180.0
"""Seconds to wait for a node that starts: that takes a core a second, and a busy one a minute."""

# Kills the node if the process that started it dies without closing it: see the guard of Postgres.
GUARD: Final = """
cat >/dev/null
kill -KILL "$1" 2>/dev/null
"""

T = TypeVar("T")


def wait_until(holds: Callable[[], T], *, patience: float = PATIENCE, what: str = "") -> T:
    """Call *holds* again and again until its answer is true, and return that.

    Raises `AssertionError` after *patience* seconds; its text names *what* was waited for.
    """
    deadline = time.monotonic() + patience
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain for {what or holds}"
        time.sleep(0.01)  # waits for: a condition that sends no signal


class Node:
    """One `tocsin serve` of this checkout, on a port that it keeps over restarts.

    *settings* are flags without their dashes; *prefix* is a command that starts the node, such as a
    tracer. *environment* is added to that of this process, without its TOCSIN variables. *port* is
    given for a node that is never started here, because another process listens there, such as a
    balancer.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object] | None = None,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.settings = {"data": directory / "data", "log-format": "json", **(settings or {})}
        self._prefix = prefix
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("TOCSIN_")},
            "PYTHONPATH": str(ROOT),
            "TOCSIN_JWT_SECRET": SECRET,
            **(environment or {}),
        }
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None

    # --- Its life --------------------------------------------------------------------------------

    def start(self, *, patience: float = START_PATIENCE, ready: bool = True) -> Self:
        """Start, and return when the node is ready; without *ready*, when its doors are open.

        Raises `AssertionError` if it ends, or is not there after *patience* seconds.
        """
        assert self._process is None, "it is running"
        flags = [f"--{name}={value}" for name, value in self.settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "tocsin", "serve", f"--port={self.port}",
                 *flags],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C goes to the starting process alone, which stops the node
            )  # fmt: skip
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        if ready:
            wait_until(self.is_ready, patience=patience, what="the server to be ready")
        else:
            wait_until(self.is_live, patience=patience, what="the server's doors")
        return self

    def is_ready(self) -> bool:
        return self._says_yes("/readyz")

    def is_live(self) -> bool:
        return self._says_yes("/livez")

    def _says_yes(self, path: str) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{self._log.read_text()[-4000:]}"
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, patience: float = 60.0) -> int:
        """Wait for the end of the node; its exit code.

        Raises `subprocess.TimeoutExpired` after *patience* seconds.
        """
        assert self._process is not None
        code = self._process.wait(patience)
        self._process = None
        assert self._guard is not None
        self._guard.kill()
        self._guard.communicate()
        return code

    def stop(self) -> int:
        """Drain and stop the node, as SIGTERM does; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Crash the node: it gets no chance to send a goodbye or to write anything."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            self.kill()

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    # --- Its answers and its log -----------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    @property
    def http(self) -> httpx.Client:
        if self._http is None:
            # One client for all requests: making one reads the machine's certificates.
            self._http = httpx.Client(base_url=self.url, timeout=PATIENCE, verify=False)
        return self._http

    @property
    def log_size(self) -> int:
        return self._log.stat().st_size

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """The node's log lines behind the byte *since*.

        A line that is no JSON, such as one of a traceback, becomes an `event` of level `error`.
        """
        return [read_log_line(line) for line in self._lines(since)]

    def _lines(self, since: int) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace").splitlines()

    def expect_sound(self, since: int = 0) -> None:
        """Raise `AssertionError` unless the node is ready and has logged no error since the byte
        *since* of its log.
        """
        assert self.is_ready()
        faults = [line for line in self.log(since) if line["level"] in {"error", "critical"}]
        assert not faults, faults

    def expect_no_bugs(self) -> None:
        """Raise `AssertionError` if the node has logged an exception of its own code.

        Failures of the world (a store or a network that is away) are states, and logged without.
        """
        # The log of a node that many tests share is long: only a few of its lines are parsed.
        suspect = [line for line in self._lines(0) if "exception" in line or "Traceback" in line]
        lines = map(read_log_line, suspect)
        bugs = [line for line in lines if "exception" in line or "Traceback" in line["event"]]
        assert not bugs, bugs

    def metric(self, name: str) -> float:
        answer = self.http.get("/metrics", headers=bearer(ADMIN))
        assert answer.status_code == 200, answer.text
        for line in answer.text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise LookupError(name)


def read_log_line(line: str) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        return {"level": "error", "event": line}
    return read if isinstance(read, dict) else {"level": "error", "event": line}
