"""The program as it was before the newest migrations, out of the history of this repository."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from servers.node import ROOT

_CLIENT = "clients/python/tocsin_client"
_MIGRATIONS = "tocsin/persistence/migrations/postgres"


def earlier_program(destination: Path) -> Path:
    """Put the program of the last commit with fewer migrations into *destination*, and return that.

    Skips the test where there is no history to take it from: in a copy without git, and in a
    shallow clone that ends before.
    """
    commit = _commit_with_fewer(frozenset(each.name for each in (ROOT / _MIGRATIONS).glob("*.sql")))
    _unpack(commit, "tocsin", destination)
    if _git("ls-tree", commit, f"{_CLIENT}/"):
        # A checkout has it on its path by a link, which an archive does not follow.
        _unpack(commit, _CLIENT, destination)
        shutil.copytree(destination / _CLIENT, destination / "tocsin_client")
    return destination


def _unpack(commit: str, folder: str, destination: Path) -> None:
    packed = _git("archive", "--format=zip", commit, folder)
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        archive.extractall(destination)


def knows_newer_schemas(program: Path) -> bool:
    """Whether it can tell newer migrations that it works with from those that it does not."""
    return "works with" in (program / "tocsin/persistence/migrations/__init__.py").read_text()


def _commit_with_fewer(now: frozenset[str]) -> str:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git history: the program before the newest migrations cannot be had")
    changes = _git("rev-list", "--first-parent", "HEAD", "--", _MIGRATIONS).decode().split()
    for commit in ["HEAD", *(f"{each}^1" for each in changes)]:
        try:
            names = _git("ls-tree", "--name-only", commit, f"{_MIGRATIONS}/").decode().split()
        except subprocess.CalledProcessError:
            break  # a shallow clone's last commit has no parent
        if (then := frozenset(Path(name).name for name in names)) < now and then:
            return commit
    pytest.skip("the git history here ends before the newest migrations (a shallow clone?)")


def _git(*arguments: str) -> bytes:
    return subprocess.run(
        # The user who runs the tests need not own the checkout.
        ["git", "-c", f"safe.directory={ROOT}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout
