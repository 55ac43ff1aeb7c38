"""What goes wrong while a command works, for the person who typed it: what, where, what to do."""

from __future__ import annotations

import os

import click

__all__ = ["Trouble", "program"]


class Trouble(click.ClickException):
    """The world is not as the command needs it: exit code 1, and no traceback."""

    exit_code = 1

    def __init__(self, wrong: str, remedy: str, where: str = "") -> None:
        lines = [wrong.rstrip(".") + "."]
        if where:
            lines.append(f"    where: {where}")
        lines.append(f"    do:    {remedy}")
        super().__init__("\n".join(lines))


def program() -> str:
    """How the person calls us, so that what we tell them to type works."""
    return os.environ.get("_TOCSIN_PROGRAM", "tocsin")
