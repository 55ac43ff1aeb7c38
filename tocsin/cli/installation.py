"""Whether there is an installation where the settings say: only `serve` and `migrate` make one.

A command that made one silently, in whatever directory it happens to be called from, would give
keys that no server knows.
"""

from __future__ import annotations

from pathlib import Path

from tocsin.cli.trouble import Trouble, program


def no_installation(data: Path) -> Trouble:
    """The trouble of a command that finds nothing in *data*, or no such directory."""
    text = str(data)
    remedy = f"start the server ({program()} serve), or name its data directory with --data"
    if text.lstrip().startswith(("{", "[", '"')):
        remedy = "name a directory with --data; JSON for the receiver goes with --data-json"
    return Trouble("There is no installation of Tocsin", remedy, str(data.absolute()))
