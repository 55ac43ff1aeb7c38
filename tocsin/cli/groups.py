"""Groups of commands that know what a person may have meant."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Final

import click

_OTHER_VERBS: Final = "_TOCSIN_VERBS"
"""Variable with the verbs of the calling program (`./dev`): they may have been meant as well."""


class CommandGroup(click.Group):
    """A group that answers a wrong verb with the one that is most like it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            others = os.environ.get(_OTHER_VERBS, "").split() if ctx.parent is None else []
            close = get_close_matches(args[0], [*self.list_commands(ctx), *others], n=1, cutoff=0.5)
            if not close:
                raise
            # Not click's own suggestion: that knows no command that is not imported yet.
            wrong = f"No such command {args[0]!r}. Did you mean {ctx.command_path} {close[0]}?"
            raise click.UsageError(wrong, ctx) from error
