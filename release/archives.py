"""Archives that depend on what is in them alone: not on clocks, owners, or the order of a disk."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Final

_FILE, _PROGRAM, _FOLDER = 0o644, 0o755, 0o755  # modes
_LEVEL: Final = 9  # of gzip: the smallest, for archives are made once


def normalise(archive: Path, at: int) -> None:
    """Write *archive*, a `.tar.gz` or `.tgz`, anew: sorted, of no owner, all *at* (Unix seconds).

    The tools that make them put in the time and the user that happen to be there.
    """
    with tarfile.open(archive) as read:
        members = sorted(read.getmembers(), key=lambda each: each.name)
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as made:
            for each in members:
                made.addfile(_plain(each, at), read.extractfile(each) if each.isreg() else None)
    archive.write_bytes(_compressed(written.getvalue(), at))


def _plain(member: tarfile.TarInfo, at: int) -> tarfile.TarInfo:
    plain = tarfile.TarInfo(member.name)
    plain.type, plain.size, plain.linkname = member.type, member.size, member.linkname
    plain.mtime = at
    if member.isdir():
        plain.mode = _FOLDER
    else:
        plain.mode = _PROGRAM if member.mode & 0o100 else _FILE
    return plain


def _compressed(data: bytes, at: int) -> bytes:
    written = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=written, mtime=at) as stream:
        stream.write(data)
    return written.getvalue()
