"""Data directories that are copied instead of made: `initdb` takes four times as long as a copy.

Each process has templates of its own, one for each Postgres, and only from the second server on:
many processes have one server. A copy has the superuser's password of its template.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from servers.machine import traversable

# The directory goes when this process ends, however it ends: see `postgres.GUARD`.
_GUARD = 'cat >/dev/null; rm -rf "$1"'


class Template:
    """A copy of *data*, as `initdb` made it with *password*."""

    def __init__(self, data: Path, password: str) -> None:
        self.password = password
        directory = Path(tempfile.mkdtemp(prefix="tocsin-template-", dir=traversable()))
        self._data = directory / "data"
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _copy(data, self._data)

    def copy_to(self, data: Path) -> None:
        """Make the directory *data*, or fill it, with the owners and modes of the template."""
        _copy(self._data, data)


class Templates:
    """The templates of this process, by the place of Postgres' binaries."""

    def __init__(self) -> None:
        self._seen: set[Path] = set()
        self._made: dict[Path, Template] = {}

    def find(self, binaries: Path) -> Template | None:
        """The template for *binaries*, if there is one yet."""
        return self._made.get(binaries)

    def made(self, binaries: Path, data: Path, password: str) -> None:
        """Take note of the new directory *data*; the second one becomes a template."""
        if binaries in self._seen:
            self._made[binaries] = Template(data, password)
        self._seen.add(binaries)


templates = Templates()
"""Those of this process."""


def _copy(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", f"{target}/"], check=True)
