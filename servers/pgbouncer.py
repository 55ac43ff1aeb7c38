"""A PgBouncer before a Postgres of ours.

The environment variable `TOCSIN_TEST_PGBOUNCER` names the binary; without it, the one on PATH is
taken, or the distribution's package is installed (see `program`).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from servers.machine import NOBODY, free_port, traversable
from servers.program import find_binary

START_TIMEOUT = 20  # seconds; it takes a fraction of one


def find_pgbouncer() -> Path:
    return Path(os.environ.get("TOCSIN_TEST_PGBOUNCER") or find_binary("pgbouncer"))


def keeps_statements(binary: Path) -> bool:
    """Whether *binary* can keep prepared statements over transactions (PgBouncer 1.21 or later)."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    assert version is not None
    return (int(version[1]), int(version[2])) >= (1, 21)


class PgBouncer:
    """A pooler before the Postgres of the URL *to*, with *size* server connections.

    A context manager. *statements* is `max_prepared_statements`; *more* are further lines of the
    configuration. Raises `RuntimeError` if it does not start within `START_TIMEOUT` seconds.
    """

    def __init__(
        self,
        to: str,
        binary: Path,
        *,
        mode: Literal["session", "transaction"],
        statements: int = 0,
        size: int = 2,
        more: str = "",
    ) -> None:
        parts = urlsplit(to)
        self._port = free_port()
        login = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self._port}"))
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-pgbouncer-", dir=traversable()))
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self._directory / "log"
        kept = f"max_prepared_statements = {statements}" if keeps_statements(binary) else ""
        (self._directory / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
        (self._directory / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={parts.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {self._directory / 'users'}\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\nserver_round_robin = 1\n"
            f"{kept}\n{more}\n"
        )

    def __enter__(self) -> Self:
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PgBouncer refuses to run as root
            os.chown(self._directory, NOBODY, NOBODY)
            as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._binary, self._directory / "ini"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
                **as_user,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self._port)) == 0:
                    return self
            time.sleep(0.01)  # waits for: the port, which can only be polled
        text = self.log.read_text()
        self.__exit__()
        raise RuntimeError(f"PgBouncer did not start:\n{text}")

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory)
