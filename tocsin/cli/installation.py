"""Whether there is an installation where the settings say: only `serve` and `migrate` make one.

A command that made one silently, in whatever directory it happens to be called from, would give
keys that no server knows.
"""

from __future__ import annotations

import os
from pathlib import Path

from tocsin.cli.options import Flags, load_settings
from tocsin.cli.trouble import Trouble, program


def no_installation(data: Path) -> Trouble:
    """What to say where nothing is in *data*, or no *data* is."""
    text = str(data)
    remedy = f"start the server ({program()} serve), or name its data directory with --data"
    if text.lstrip().startswith(("{", "[", '"')):
        remedy = "name a directory with --data; JSON for the receiver goes with --data-json"
    return Trouble("There is no installation of Tocsin", remedy, str(data.absolute()))


def expect_database(flags: Flags) -> None:
    """Raise `Trouble` where the settings name an SQLite file that is not there."""
    settings = load_settings(flags, os.environ)
    path = settings.sqlite_path
    if path is None:
        return
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise no_installation(path.parent) from None
    except OSError as error:
        raise Trouble(
            f"The database cannot be looked at: {error.strerror}",
            "call this as the user that the server runs as",
            str(path.absolute()),
        ) from None
