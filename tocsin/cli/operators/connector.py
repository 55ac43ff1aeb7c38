"""`tocsin connector`: what connectors do, for operators. Over the HTTP API of a running server."""

from __future__ import annotations

from typing import Final

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.operators.panel import Panel, TableName, panel_options
from tocsin.cli.tables import table
from tocsin.client.connectors import ConnectorCalls, ConnectorShown

_HEADINGS: Final = (
    *("NAME", "KIND", "STATE", "LAG", "TAKEN", "ACCEPTED", "REPLAYED", "REFUSED", "REASON"),
)


@click.group("connector", cls=CommandGroup)
def connector() -> None:
    """List, pause and resume connectors, and pass over what stops one.

    A connector takes notifications from a broker. Without --token, a token is made with the secret
    of the server, which has to be on this machine.
    """


@connector.command("list")
@panel_options(ConnectorCalls)
def list_connectors(panel: Panel[ConnectorCalls]) -> None:
    """List the connectors, as the node that answers sees them."""
    shown = panel.ask("Not listed", panel.calls.list)
    if not shown.connectors:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, shown.connectors)]))


@connector.command()
@click.argument("name", type=TableName("connector"))
@panel_options(ConnectorCalls)
def pause(panel: Panel[ConnectorCalls], name: str) -> None:
    """Have the connector take nothing more, on all nodes, until it is resumed."""
    panel.ask(f"{name} is not paused", panel.calls.pause, name)
    click.echo(f"{name} is paused.")


@connector.command()
@click.argument("name", type=TableName("connector"))
@panel_options(ConnectorCalls)
def resume(panel: Panel[ConnectorCalls], name: str) -> None:
    """Have a paused connector go on."""
    panel.ask(f"{name} is not resumed", panel.calls.resume, name)
    click.echo(f"{name} goes on.")


@connector.command()
@click.argument("name", type=TableName("connector"))
@click.argument("place")
@panel_options(ConnectorCalls)
def skip(panel: Panel[ConnectorCalls], name: str, place: str) -> None:
    """Pass over the record at PLACE (topic/partition/offset), which cannot be read."""
    panel.ask(f"{place} is not skipped", panel.calls.skip, name, place)
    click.echo(f"{name} passes over {place}.")


def _row(shown: ConnectorShown) -> tuple[str, ...]:
    return (
        shown.name,
        shown.kind,
        shown.state,
        "-" if shown.lag is None else str(shown.lag),
        str(shown.taken),
        str(shown.accepted),
        str(shown.replayed),
        str(shown.refused),
        shown.reason or "-",
    )
