"""A program that listens on a port, for as long as a test lasts.

Everything here is synchronous, as in `servers.postgres`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT = 20  # seconds; most listen within one
INSTALL_TIMEOUT = 180  # seconds for the list of packages, or for one package
GUARD = """
exec 3<&0
"$@" </dev/null &
program=$!
(cat <&3 >/dev/null; kill -KILL $program) 2>/dev/null &
wait $program
"""
"""The program must not outlive a test process that is killed. The shell therefore waits for the end
of its own input, which comes however that process ends, and kills the program then."""


class Program:
    """A context manager: a directory of its own, and a process in it that listens on *port*.

    A subclass defines the `command` that starts it.
    """

    def __init__(self, name: str, port: int, *, scheme: str = "http") -> None:
        self.name = name
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"tocsin-{name.lower()}-"))
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start, and return when the program takes connections.

        Raises `RuntimeError` if its port is in use, or if it does not take connections within
        `START_TIMEOUT` seconds.
        """
        assert self._process is None, f"this {self.name} is running already"
        if self._listens():
            raise RuntimeError(f"Port {self.port} is in use by another program.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "guard", *self.command()],
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not start. The end of its log:\n{text}")
            time.sleep(0.02)  # waits for: the port, which can only be polled
        return self

    def close(self) -> None:
        """Kill the program, with all of its connections, and remove its directory."""
        if self._process is not None:
            # The whole group: the shell, the program, and the `cat` that waits for end of input.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def find_binary(program: str, package: str = "") -> str:
    """The path of *program*, which is installed from the distribution's *package* if it is missing.

    Only root on Debian installs, as `./dev` does with Python's packages. Otherwise raises
    `RuntimeError` with the package to install, so that no test is passed over silently.
    """
    package = package or program
    # Debian keeps servers where only root's PATH leads.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(program, path=path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install(package)
        found = shutil.which(program, path=path)
    if found is None:
        raise RuntimeError(
            f"{program} is needed and was not found. Install your system's package, such as "
            f"with `sudo apt-get install {package}` or `brew install {package}`, and repeat."
        )
    return found


def install(package: str) -> None:
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        # The package wants to start a service, which would take the port; here it must not.
        "RUNLEVEL": "1",
    }
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
    ):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
