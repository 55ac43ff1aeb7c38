"""`tocsin sink`: how far sinks in brokers are, for operators. Over the HTTP API of a server."""

from __future__ import annotations

from typing import Final

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.operators.panel import Panel, TableName, panel_options
from tocsin.cli.tables import table
from tocsin.client.sinks import SinkCalls, SinkShown

_HEADINGS: Final = ("NAME", "KIND", "STATE", "BEHIND", "LOST", "REASON")


@click.group("sink", cls=CommandGroup)
def sink() -> None:
    """List, pause, enable and rewind sinks in brokers.

    Receipts are carried to a sink. Without --token, a token is made with the secret of the server,
    which has to be on this machine.
    """


@sink.command("list")
@panel_options(SinkCalls)
def list_sinks(panel: Panel[SinkCalls]) -> None:
    """List the sinks, and how many places of the log each is behind."""
    shown = panel.ask("Not listed", panel.calls.list)
    if not shown.sinks:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, shown.sinks)]))


@sink.command()
@click.argument("name", type=TableName("sink"))
@panel_options(SinkCalls)
def pause(panel: Panel[SinkCalls], name: str) -> None:
    """Have nothing more carried to the sink until it is enabled; it keeps its place."""
    panel.ask(f"{name} is not paused", panel.calls.pause, name)
    click.echo(f"{name} is paused.")


@sink.command()
@click.argument("name", type=TableName("sink"))
@panel_options(SinkCalls)
def enable(panel: Panel[SinkCalls], name: str) -> None:
    """Have a paused or disabled sink go on where it stopped."""
    panel.ask(f"{name} is not enabled", panel.calls.enable, name)
    click.echo(f"{name} goes on.")


@sink.command()
@click.argument("name", type=TableName("sink"))
@click.argument("since")
@panel_options(SinkCalls)
def rewind(panel: Panel[SinkCalls], name: str, since: str) -> None:
    """Have all receipts since SINCE (such as 2026-11-30T08:00:00Z) carried again."""
    panel.ask(f"{name} is not rewound", panel.calls.rewind, name, since)
    click.echo(f"{name} begins again at {since}.")


def _row(shown: SinkShown) -> tuple[str, ...]:
    return (
        shown.name,
        shown.kind,
        shown.state,
        str(shown.behind),
        str(shown.lost),
        shown.reason or "-",
    )
