"""The lock of the SQLite file: held by the server while it runs, and by commands that need it
alone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tocsin.cli.trouble import Trouble, program
from tocsin.persistence.sqlite.server_lock import Holder, Locked, ServerLock, find_holder
from tocsin.settings import Settings


@contextmanager
def served_alone(settings: Settings) -> Iterator[Callable[[int], None]]:
    """Hold the database's lock for a server; yields a function that notes the port. Raises
    `Trouble`.

    A Postgres database is for many nodes, so it has no lock.
    """
    path = settings.sqlite_path
    if path is None:
        yield lambda port: None
        return
    holder = _holder("serve", settings.host, settings.port)
    with _had(path, holder) as say:
        yield lambda port: say(_holder("serve", settings.host, port))


@contextmanager
def alone(path: Path, verb: str) -> Iterator[None]:
    """Hold the lock of the SQLite file *path* while the command *verb* works. Raises `Trouble`."""
    with _had(path, _holder(verb)):
        yield


def running_server(path: Path) -> Locked | None:
    """The holder of the SQLite file *path*, if there is one now. Raises `Trouble`."""
    try:
        return find_holder(path)
    except OSError as error:
        raise _unusable(path, error) from None


def refuse(found: Locked) -> Trouble:
    """The trouble of a second server or command."""
    holder = found.holder
    stop = "stop it first" if holder is None else f"stop it first (kill {holder.pid})"
    return Trouble(
        f"The database is in use by {found}",
        f"{stop}. Another port would not do: one SQLite file is for one server. Servers side by"
        " side share a Postgres and a Redis (docs/cluster.md)",
        str(found.path),
    )


@contextmanager
def _had(path: Path, holder: Holder) -> Iterator[Callable[[Holder], None]]:
    try:
        lock = ServerLock(path, holder)
    except Locked as found:
        raise refuse(found) from None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        yield lock.say
    finally:
        lock.release()


def _holder(verb: str, host: tuple[str, ...] = (), port: int = 0) -> Holder:
    return Holder(
        program=f"{program()} {verb}",
        pid=os.getpid(),
        machine=socket.gethostname(),
        host=list(host),
        port=port,
        since=time.time_ns() // 1_000_000,
    )


def _unusable(path: Path, error: OSError) -> Trouble:
    return Trouble(
        f"The database's lock cannot be had: {error.strerror}",
        "see that the directory is there and can be written to by this user",
        str(path),
    )
