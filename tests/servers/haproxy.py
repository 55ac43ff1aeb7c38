"""A real HAProxy for tests: the one on PATH, or else the distribution's package.

As root on Debian the package is installed when it is missing, as `./dev` does with Python's; others
are told what to install. It is never passed over silently.

Everything here is synchronous, as in `tests.servers.postgres`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CONFIGURATION = Path(__file__).parent.parent.parent / "cluster" / "haproxy.cfg"
INSTALL_TIMEOUT = 180
START_TIMEOUT = 20


class HAProxy:
    """Before *nodes* (`host:port`), listening on *port*; a context manager.

    Configured by `cluster/haproxy.cfg`, or by another file, whose *scheme* may be `https`.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        port: int,
        *,
        configuration: Path = CONFIGURATION,
        scheme: str = "http",
    ) -> None:
        self._binary = find_binary("haproxy")
        self._configuration = configuration
        self._scheme = scheme
        self._environment = {
            "PATH": os.defpath,
            "BIND": f"127.0.0.1:{port}",
            **{f"NODE_{number}": node for number, node in enumerate(nodes, 1)},
        }
        self.port = port
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-haproxy-"))
        self.log = self._directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

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
        """Start, and return when it takes connections; the nodes need not be there."""
        assert self._process is None, "this HAProxy is running already"
        if self._listens():
            raise RuntimeError(f"Port {self.port} is in use by another program.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # -db: in the foreground. It must not outlive a test process that is killed; HAProxy
                # has no switch for that, so the shell waits for the end of its input and ends it.
                ["sh", "-c", GUARD, "guard", self._binary, str(self._configuration)],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"HAProxy did not start. The end of its log:\n{text}")
            time.sleep(0.02)  # waits for: the port, which can only be polled
        return self

    def close(self) -> None:
        """End at once, with all connections, and remove everything."""
        if self._process is not None:
            # The group: the shell, HAProxy and what waits for the end of input.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


GUARD = """
exec 3<&0
"$1" -db -f "$2" </dev/null &
haproxy=$!
(cat <&3 >/dev/null; kill -KILL $haproxy) 2>/dev/null &
wait $haproxy
"""


def find_binary(program: str, package: str = "") -> str:
    """Where *program* is; installed from the distribution's *package* if that can be done."""
    package = package or program
    # Debian keeps servers where only root's PATH leads.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(program, path=path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install(package)
        found = shutil.which(program, path=path)
    if found is None:
        raise RuntimeError(
            f"The cluster needs {program} and found none. Install your system's package, such as "
            f"with `sudo apt-get install {package}` or `brew install {package}`, and repeat."
        )
    return found


def install(package: str) -> None:
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        # The package wants to start a service; ours starts without it.
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
