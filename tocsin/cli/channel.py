"""`tocsin channel`: the channels of a running server, for operators."""

from __future__ import annotations

import functools
from typing import Final

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.tables import table
from tocsin.client.channels import ListedChannel, read_channels

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""
_HEADINGS: Final = ("NAME", "KIND", "STATE", "WAITING", "OUTCOMES", "LAST ERROR")


@click.group(cls=CommandGroup)
def channel() -> None:
    """Look at the channels by which people without a device are reached."""


@channel.command("list")
@server_options("An API key or token with the scope admin.")
def list_channels(server: Server) -> None:
    """List the channels of a node: whether each works, and what became of its sends."""
    minter = server.minter()
    token = server.credential(minter, _TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
    work = functools.partial(read_channels, server.url, token)
    found = server.run(work, "Not listed", minter).channels
    if not found:
        click.echo("There are none: no channels are set.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, found)]))


def _row(line: ListedChannel) -> tuple[str, ...]:
    outcomes = ", ".join(f"{count} {name}" for name, count in line.outcomes.items())
    error = line.last_error or "-"
    return (line.name, line.kind, line.state, str(line.waiting), outcomes or "-", error)
