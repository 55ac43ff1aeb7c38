"""Files that exist whole or not at all, even after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EOPNOTSUPP, EPERM
from pathlib import Path
from secrets import token_hex


@contextmanager
def whole_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty file of mode 0600 beside *target*, which becomes *target* when the block ends.

    Raises `FileExistsError` if *target* exists and is not to be replaced, at the latest at the end.
    After any exception, nothing of the new file is left.
    """
    if not replace and target.exists():
        raise FileExistsError(f"{target} exists")
    partial = target.with_name(f".{target.name}.{token_hex(4)}.partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield partial
        _sync(partial, os.O_RDWR)
        if replace:
            os.replace(partial, target)
        else:
            _rename_if_free(partial, target)
        _sync(target.parent, os.O_RDONLY)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{partial}{suffix}")


def own_like(path: Path, other: Path) -> None:
    """If this process is root, give *path* to the owner of *other*: servers seldom run as root."""
    if os.geteuid() == 0:
        found = other.stat()
        os.chown(path, found.st_uid, found.st_gid)


def _rename_if_free(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)  # unlike a rename, it fails if *target* exists
    except OSError as error:
        if error.errno not in (EPERM, EOPNOTSUPP):
            raise
        # A file system without links. Another process may make the file between the look and the
        # renaming; that cannot be excluded here.
        if target.exists():
            raise FileExistsError(f"{target} exists") from error
        os.rename(partial, target)


def _sync(path: Path, how: int) -> None:
    descriptor = os.open(path, how | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
