"""One server for one SQLite file: a lock beside it, and in it who has it.

Two servers on one file would each deliver to their own connections alone, and neither would hear of
what the other commits. SQLite does not mind two, so somebody has to. The lock is the kernel's
(`flock` on `<file>-lock`) and ends with the process that holds it, however that ends; what stands
in the file is for people. Commands that work beside a server, such as `tocsin key`, do not take it;
those that replace or rebuild the file do.

It is not the database's own file that is locked: closing any descriptor of that would drop SQLite's
own locks on it.
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
"""Seconds in which a lock that somebody looks at, or has just let go of, is tried again."""

_PAUSE: Final = 0.05
"""Seconds between two attempts: a person who starts a server notices no such delay."""
_BYTES_MAX: Final = 4096
"""Bytes of the file that are read; the record of a holder has some hundred."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who has the lock: *since* is in Unix milliseconds; an unknown *port* is 0."""

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
    """Somebody else has the file; *holder* is `None` where it does not say who."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(str(holder) if holder else "a process that has not said who it is")
        self.path = path
        self.holder = holder


class ServerLock:
    """Held until `release`, or the end of the process. Raises `Locked`, or `OSError`."""

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
        """Put down who has it; on a full disk nobody is named, and it is held all the same."""
        text = msgspec.json.encode(holder) + b"\n"
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        # The file stays: whoever removed it could remove one that another has just locked.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def find_holder(database: Path) -> Locked | None:
    """Who has *database* now, if anybody has; makes nothing."""
    path = path_of(database)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who look do not see each other; a server that starts tries again.
        if _flock(descriptor, fcntl.LOCK_SH):
            return None
        return Locked(path, _read(descriptor))
    finally:
        os.close(descriptor)


def path_of(database: Path) -> Path:
    """The lock of *database*: one for all the names that lead to it."""
    real = Path(os.path.realpath(database))
    return real.with_name(real.name + SUFFIX)


def _flock(descriptor: int, kind: int) -> bool:
    """Whether it was to be had, which it also is where nothing can be locked."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (EAGAIN, EWOULDBLOCK):
            return False
        if error.errno not in (EOPNOTSUPP, ENOLCK):
            raise
        logger.warning("this file system has no locks; see that one server runs on it alone")
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
