"""Whether a server can keep what it has to keep, asked before anything of it starts.

Asked later, it would be an error of the store that looks as if it could pass, and restarts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tocsin.cli.trouble import Trouble
from tocsin.settings import Settings


def check_data(settings: Settings) -> None:
    """Make the directories of *settings* that are needed; raise `Trouble` if one is of no use."""
    for place in _places(settings):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise _unusable("The data directory cannot be written to", error, place) from None
    path = settings.sqlite_path
    if path is not None and path.exists():
        try:
            path.open("r+b").close()
        except OSError as error:
            raise _unusable("The database cannot be written to", error, path) from None


def _places(settings: Settings) -> Iterator[Path]:
    if settings.sqlite_path is not None:
        yield settings.sqlite_path.parent
    if not settings.has_jwt:
        yield settings.data


def _unusable(wrong: str, error: OSError, path: Path) -> Trouble:
    remedy = "give its owner's rights to this user, or name another directory with --data"
    return Trouble(f"{wrong}: {error.strerror}", remedy, str(path.absolute()))
