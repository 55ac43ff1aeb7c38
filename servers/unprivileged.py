"""A server that runs in a directory of its own, as nobody if the tests run as root.

RabbitMQ, Kafka and ElasticMQ are programs of many processes or of many threads, which start slowly.
So each is started once, when the first test asks for it, and shared; a test that harms its server
starts one of its own. Everything here is synchronous, as in `servers.redis`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from servers.machine import NOBODY, free_port, read_lines, traversable

START_TIMEOUT: Final = 90.0
"""Seconds: a loaded machine of two cores takes 13."""
STOP_TIMEOUT: Final = 30.0  # seconds

GUARD: Final = """
cat >/dev/null
for file in "$1"/*.pid; do
    group=$(cat "$file" 2>/dev/null) && { kill -CONT -"$group"; kill -KILL -"$group"; } 2>/dev/null
done
rm -rf "$1"
"""
"""Ends the server if the test process dies without closing it: see the guard of Postgres. Each
program leads a group of its own, since these servers have children."""


class UnprivilegedServer:
    """A server on a port that it keeps over restarts. A subclass says how it is started.

    Raises `RuntimeError` if a step of its life takes too long or fails.
    """

    name = "server"

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"tocsin-{self.name}-", dir=traversable()))
        self.log = self.directory / "log"
        self.port = free_port()
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self.directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.prepare()
            _give_to_nobody(self.directory)
        except BaseException:
            self.close()
            raise

    def prepare(self) -> None:
        """Write the files that the server reads."""

    def command(self) -> Sequence[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Variables beside those that every program has."""
        return {}

    def is_ready(self) -> bool:
        """Whether the server does its work; may raise `OSError` while it does not."""
        raise NotImplementedError

    # --- Its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when the server does its work."""
        assert self.name not in self._programs, f"this {self.name} is running already"
        program = self.run(self.name, self.command(), self.environment())
        deadline = time.monotonic() + START_TIMEOUT
        while not self._says_ready():
            if program.poll() is not None:
                raise self._failure(f"ended at its start with exit code {program.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {START_TIMEOUT:g} s")
            time.sleep(0.05)  # waits for: the server, which can only be polled

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: `fast` in order, `immediate` is kill -9. Has no effect on a stopped server."""
        program = self._programs.pop(self.name, None)
        if program is None:
            return
        os.killpg(program.pid, signal.SIGCONT)
        number = signal.SIGTERM if mode == "fast" else signal.SIGKILL
        try:
            os.killpg(program.pid, number) if mode == "immediate" else program.send_signal(number)
            program.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            raise self._failure(f"did not stop within {STOP_TIMEOUT:g} s") from None

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def pause(self) -> None:
        """Let the server hang: connections stay open and nothing answers, until `resume`."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        for process in self._processes():
            process.resume()

    def close(self, *, keep_log: bool = False) -> None:
        """Kill the server and remove everything, but with *keep_log* not the log."""
        for program in self._programs.values():
            os.killpg(program.pid, signal.SIGKILL)
            program.wait(STOP_TIMEOUT)
        self._programs.clear()
        self._guard.kill()
        self._guard.communicate()
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not (keep_log and path == self.log):
                path.unlink()
        if not keep_log:
            shutil.rmtree(self.directory, ignore_errors=True)

    def run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Run a program of this server, in a group of its own, as nobody."""
        root: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with self.log.open("ab") as log:
            program = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.directory),
                    "LANG": "C.UTF-8",
                    **environment,
                },
                **(root if os.geteuid() == 0 else {}),
            )
        (self.directory / f"{name}.pid").write_text(str(program.pid))
        self._programs[name] = program
        return program

    def _says_ready(self) -> bool:
        try:
            return self.is_ready()
        except OSError:
            return False

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self._programs[self.name].pid)
        return [process, *process.children(recursive=True)]

    def _failure(self, what: str) -> RuntimeError:
        tail = "\n".join(read_lines(self.log)[-30:])
        return RuntimeError(f"{self.name} {what}. The end of its log:\n{tail}")


def _give_to_nobody(directory: Path) -> None:
    if os.geteuid() != 0:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def run_in_loop(main: Callable[[], Awaitable[object]]) -> None:
    """Run *main* in an asyncio loop of its own.

    The loop is made by its class: `asyncio.run` would make one of trio-asyncio's kind once that was
    used in this process.
    """
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
