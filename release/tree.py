"""The files of a release: those that Git knows, in a place of their own, with one time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
LEFT_OUT: Final = frozenset(
    {
        *("node_modules", ".git", ".venv", ".hypothesis", "__pycache__", "tocsin-data"),
        *("secrets", "build", "dist", "site"),
    }
)
"""Folders that are nobody's source, where there is no Git to ask: an sdist has no history."""


def source_files() -> list[Path]:
    """The files of this repository, relative to it, sorted."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 0 and done.stdout:
        named = [Path(each) for each in done.stdout.split("\0") if each]
        return sorted(each for each in named if (ROOT / each).is_file())
    return sorted(
        each.relative_to(ROOT)
        for each in ROOT.rglob("*")
        if each.is_file() and not LEFT_OUT.intersection(each.relative_to(ROOT).parts)
    )


def copy_to(place: Path, at: int) -> None:
    """Copy the source to *place*, which must not be there, all files *at* (Unix seconds)."""
    place.mkdir(parents=True)
    for each in source_files():
        target = place / each
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / each).is_symlink():
            target.symlink_to(os.readlink(ROOT / each))
            continue
        shutil.copyfile(ROOT / each, target)
        target.chmod(0o755 if os.access(ROOT / each, os.X_OK) else 0o644)
        os.utime(target, (at, at))


def source_time() -> int:
    """The time of a release (Unix seconds): `SOURCE_DATE_EPOCH`, else that of the last commit.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    if (given := os.environ.get("SOURCE_DATE_EPOCH")) is not None:
        return int(given)
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)
