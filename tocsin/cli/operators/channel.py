"""`tocsin channel`: the channels of a running server, for operators."""

from __future__ import annotations

from typing import Final

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.operators.panel import Panel, panel_options
from tocsin.cli.tables import table
from tocsin.client.channels import ChannelCalls, ListedChannel

_HEADINGS: Final = ("NAME", "KIND", "STATE", "WAITING", "OUTCOMES", "LAST ERROR")


@click.group(cls=CommandGroup)
def channel() -> None:
    """Look at the channels by which people without a device are reached."""


@channel.command("list")
@panel_options(ChannelCalls)
def list_channels(panel: Panel[ChannelCalls]) -> None:
    """List the channels of a node: whether each works, and what became of its sends."""
    found = panel.ask("Not listed", panel.calls.list).channels
    if not found:
        click.echo("There are none: no channels are set.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, found)]))


def _row(line: ListedChannel) -> tuple[str, ...]:
    outcomes = ", ".join(f"{count} {name}" for name, count in line.outcomes.items())
    error = line.last_error or "-"
    return (line.name, line.kind, line.state, str(line.waiting), outcomes or "-", error)
