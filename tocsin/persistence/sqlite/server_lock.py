"""One server for one SQLite file: a lock file beside it, which names the server that has it.

Two servers on one file would each deliver to their own connections only, because neither would hear
of the commits of the other. SQLite allows two processes, so Tocsin has to refuse the second. The
lock is the kernel's (`flock` on `<file>-lock`) and ends with the process that holds it, however
that ends; the text in the file is for people. Commands that work beside a server, such as
`tocsin key`, do not take the lock; commands that replace or rebuild the file do.

The lock is not on the database's own file, because closing any descriptor of that would drop
SQLite's own locks on it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, ENOLCK, EOPNOTSUPP, EWOULDBLOCK
from pathlib import Path
from typing import Final

import msgspec
import structlog

from tocsin.persistence.upkeep.files import own_like

logger = structlog.get_logger(__name__)

SUFFIX: Final = "-lock"
PATIENCE: Final = 1.0
"""Seconds for which a taken lock is tried again: a process may only be looking at it, or ending."""

_PAUSE: Final = 0.05
"""Seconds between two attempts: a person who starts a server notices no such delay."""
_BYTES_MAX: Final = 4096
"""Bytes of the file that are read; the record of a holder has some hundred."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The process that has the lock. *since* is in Unix milliseconds; an unknown *port* is 0."""

    program: str
    pid: int
    machine: str
    host: list[str] = []
    port: int = 0
    since: int = 0

    def __str__(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since / 1000))
        text = f"`{self.program}`, process {self.pid} on {self.machine}, since {began}"
        if self.port:
            text += f", listening on {', '.join(self.host)} port {self.port}"
        return text


class Locked(Exception):
    """Another process has the database; *holder* is `None` if the lock file does not name it."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(str(holder) if holder else "a process that has not said who it is")
        self.path = path
        self.holder = holder


class ServerLock:
    """The lock of *database*, held until `release` or the end of the process.

    Raises `Locked` if another process holds it for longer than `PATIENCE`, or `OSError`.
    """

    def __init__(self, database: Path, holder: Holder) -> None:
        self._path = path_of(database)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            own_like(self._path, self._path.parent)
            if not _patiently(lambda: _flock(self._descriptor, fcntl.LOCK_EX)):
                raise Locked(self._path, _read(self._descriptor))
            self.say(holder)
        except BaseException:
            os.close(self._descriptor)
            raise

    def say(self, holder: Holder) -> None:
        """Write *holder* into the lock file. On a full disk the file stays empty; the lock is held
        all the same.
        """
        text = msgspec.json.encode(holder) + b"\n"
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        # The file stays, because removing it could remove one that another process has just locked.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def find_holder(database: Path) -> Locked | None:
    """The process that has *database* now, if one has. Makes no lock file."""
    path = path_of(database)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # A shared lock, so that two processes that look do not find each other. A server that
        # starts meanwhile tries again.
        if _flock(descriptor, fcntl.LOCK_SH):
            return None
        return Locked(path, _read(descriptor))
    finally:
        os.close(descriptor)


def path_of(database: Path) -> Path:
    """The path of the lock file of *database*, the same for all links that lead to it."""
    real = Path(os.path.realpath(database))
    return real.with_name(real.name + SUFFIX)


def _flock(descriptor: int, kind: int) -> bool:
    """Try to lock; whether that worked. On a file system without locks, it counts as done."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (EAGAIN, EWOULDBLOCK):
            return False
        if error.errno not in (EOPNOTSUPP, ENOLCK):
            raise
        logger.warning("file system without locks", remedy="run one server on the database alone")
    return True


def _patiently(attempt: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not attempt():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _read(descriptor: int) -> Holder | None:
    text = os.pread(descriptor, _BYTES_MAX, 0)
    try:
        return msgspec.json.decode(text, type=Holder)
    except msgspec.MsgspecError:
        return None
