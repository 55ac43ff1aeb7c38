"""This machine: its free ports, and the directories that a server without privileges can enter."""

from __future__ import annotations

import itertools
import os
import random
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
"""The user for servers that refuse to run as root, such as Postgres."""
PORTS: Final = 1_500  # for each test process, so that processes side by side do not share any


def traversable() -> str:
    """A directory for temporary files that an unprivileged user can enter.

    Raises `RuntimeError` if this process is root and there is none.
    """
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for candidate in map(Path, candidates):
        if candidate.is_dir() and (os.geteuid() != 0 or is_traversable(candidate)):
            return str(candidate)
    raise RuntimeError(
        f"As root, Postgres runs as user {NOBODY}, which can enter none of {candidates}. "
        "Set TMPDIR to a directory that everyone can enter, or run the tests as another user."
    )


def is_traversable(path: Path) -> bool:
    path = path.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def free_port() -> int:
    """A TCP port of this machine that is free now.

    It is below the ports that the kernel gives to outgoing connections: one of those could be taken
    by a client that retries while its server restarts. Between the choice and the listening the
    port is not reserved. Test processes side by side therefore choose from ranges of their own, and
    each process gets every port of its range once before it gets one again.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _ports_of_this_process() -> Iterator[int]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw7").removeprefix("gw")
    first = 20_000 + PORTS * (int(worker) % 8)
    # Shuffled, so that two runs side by side, as of two checkouts, do not begin at the same port.
    ports = random.sample(range(first, first + PORTS), PORTS)
    return itertools.cycle(ports)


_ports = _ports_of_this_process()


def read_lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []
