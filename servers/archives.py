"""Unpacking what we have packed, on every Python that Tocsin runs on."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, directory: Path) -> None:
    """Unpack *archive* into *directory*, without links or paths that lead out of it.

    Python has known the filter since 3.11.4 (PEP 706); our own archives are safe without it.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(directory, filter="data")
    else:
        archive.extractall(directory)
