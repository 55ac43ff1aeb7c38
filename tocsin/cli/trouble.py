"""Troubles of a command, for the person who typed it: what went wrong, where, what to do."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import click

PROGRAM_VARIABLE: Final = "_TOCSIN_PROGRAM"
"""Names the calling program, such as `./dev`, as the person typed it."""


class Trouble(click.ClickException):
    """The world is not as the command needs it: exit code 1, and no traceback."""

    exit_code = 1

    def __init__(self, wrong: str, remedy: str, where: str = "") -> None:
        lines = [wrong.rstrip(".") + "."]
        if where:
            lines.append(f"    where: {where}")
        lines.append(f"    do:    {remedy}")
        super().__init__(as_typed("\n".join(lines)))


def program() -> str:
    """How the person calls us, so that what we tell them to type works."""
    context = click.get_current_context(silent=True)
    name = None if context is None else context.find_root().info_name
    return name or os.environ.get(PROGRAM_VARIABLE, "tocsin")


def as_typed(text: str) -> str:
    """*text* of a room that knows us by name only, with the program as the person calls it."""
    return text.replace("`tocsin ", f"`{program()} ")


def typed_program(found: str | None) -> str | None:
    """The program as it was typed, where click has *found* a name for it."""
    if named := os.environ.get(PROGRAM_VARIABLE):
        return named
    # A shell that has found it on PATH hands over the whole path, which the person did not type.
    if found != Path(sys.argv[0]).name or shutil.which(found) == sys.argv[0]:
        return found
    return sys.argv[0]
