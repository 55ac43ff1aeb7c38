"""The node under measurement: a real process, watched through /proc."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType

import jwt
import psutil

SECRET = "bench-secret-bench-secret-bench-secret"
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT = 20.0  # seconds


@cache
def token(user: str, scope: str = "") -> str:
    """A token for *user* that is valid for a day, longer than any run."""
    claims = {"sub": user, "exp": time.time() + 86_400, "scope": scope}
    return jwt.encode(claims, SECRET, "HS256")


class Server:
    """`tocsin serve` on a free port; a context manager. *store* is `sqlite` or a Postgres URL.

    *database* is the id of Postgres' first process, if its CPU is to be measured as well. The node
    runs the program of the checkout *tree*, or of the working directory.
    """

    def __init__(
        self,
        store: str,
        *,
        database: int | None = None,
        tree: Path | None = None,
        **settings: str,
    ) -> None:
        self._store = store
        self._tree = tree
        self._database = database
        self._settings = {
            "resend_delay": "60",
            "heartbeat": "60",
            "connections_max": "20000",
            "user_devices_max": "1024",
            "window": "256",
            **settings,
        }
        self._stack = ExitStack()
        self.port = 0

    def __enter__(self) -> Server:
        data = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-bench-"))
        environment = {name: value for name, value in os.environ.items() if "TOCSIN" not in name}
        environment |= {f"TOCSIN_{name.upper()}": text for name, text in self._settings.items()}
        environment |= {"TOCSIN_JWT_SECRET": SECRET, "TOCSIN_LOG_FORMAT": "json"}
        if self._store != "sqlite":
            environment["TOCSIN_DATABASE"] = self._store
        self._log = Path(data, "log")
        if self._tree is not None:
            environment["PYTHONPATH"] = str(self._tree)
        self._data = Path(data, "d")
        command = [sys.executable, "-m", "tocsin", "serve", "--port", "0"]
        command += ["--data", str(self._data)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stderr=log, stdout=log, cwd=self._tree
            )
        self._wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(self._log.read_text()[-3000:])
        self.kill()
        self._stack.close()

    def kill(self) -> None:
        """Kill the process and wait for its end; has no effect the second time."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask the node to drain and end; does not wait for that."""
        self._process.send_signal(signal.SIGTERM)

    @property
    def is_running(self) -> bool:
        """Whether the process still runs. Raises `AssertionError` if it ended with an error."""
        code = self._process.poll()
        assert not code, f"it ended with {code}"
        return code is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cpu_seconds(self) -> float:
        """Seconds of CPU that the process has used so far, in user and in system mode."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    @property
    def database_cpu_seconds(self) -> float:
        """Seconds of CPU that all processes of the database have used, ended ones included."""
        if self._database is None:
            return 0.0
        first = psutil.Process(self._database)
        times = first.cpu_times()
        seconds: float = times.children_user + times.children_system
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                seconds += used.user + used.system
        return seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The process does not run meanwhile, and finds all that has come when it goes on."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def data_bytes(self) -> int:
        """The size of all files in the node's data directory: with SQLite, its database."""
        found = 0
        for each in self._data.rglob("*"):
            with suppress(FileNotFoundError):  # SQLite removes files of its own
                found += each.stat().st_size
        return found

    def metric(self, name: str) -> float:
        """The value of one metric, such as `tocsin_store_transactions_total`.

        Raises `LookupError` if the node has no metric of that name.
        """
        match = re.search(rf"^{name} (\S+)$", self.admin("/metrics"), re.MULTILINE)
        if match is None:
            raise LookupError(name)
        return float(match[1])

    @property
    def series(self) -> int:
        """How many series the metrics have, those of histograms included."""
        lines = self.admin("/metrics").splitlines()
        return sum(1 for line in lines if line and not line.startswith("#"))

    def admin(self, path: str) -> str:
        """The answer to an operator's `GET` of *path*. Raises `OSError` if there is none."""
        headers = {"Authorization": f"Bearer {token('op', 'admin')}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text: str = answer.read().decode()
        return text

    def wait_settled(self) -> None:
        """Wait until the store has had nothing to write for 0.3 s: the ledger is complete then."""
        last, since = -1.0, time.monotonic()
        while time.monotonic() - since < 0.3:
            commands = self.metric("tocsin_store_commands_total")
            if commands != last:
                last, since = commands, time.monotonic()
            time.sleep(0.1)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r'"port": ?(\d+)', self._log.read_text())
            if found is not None:
                self.port = int(found[1])
                try:
                    urllib.request.urlopen(self.url + "/readyz", timeout=5).close()
                    return
                except OSError:
                    pass
            time.sleep(0.05)
        raise RuntimeError("the server did not start:\n" + self._log.read_text()[-2000:])
