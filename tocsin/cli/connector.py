"""`tocsin connector`: what connectors do, for operators. Over the HTTP API of a running server."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from tocsin.cli.credentials import Minter
from tocsin.cli.groups import CommandGroup
from tocsin.cli.parameters import Context, Parameter
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.tables import table
from tocsin.client.connectors import Connections, ConnectorShown
from tocsin.settings.broker_tables import NAME_PATTERN

T = TypeVar("T")

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""
_HEADINGS: Final = (
    *("NAME", "KIND", "STATE", "LAG", "TAKEN", "ACCEPTED", "REPLAYED", "REFUSED", "REASON"),
)


class ConnectorName(click.ParamType[str]):
    """The name of a table `[connectors.NAME]`."""

    name = "name"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        if not re.fullmatch(NAME_PATTERN, value):
            self.fail("a connector has 1 to 63 characters of a-z 0-9 _ -", param, ctx)
        return value


@click.group("connector", cls=CommandGroup)
def connector() -> None:
    """List, pause and resume connectors, and pass over what stops one.

    A connector takes notifications from a broker. Without --token, a token is made with the secret
    of the server, which has to be on this machine.
    """


@dataclass(frozen=True, slots=True)
class Panel:
    """The connectors of a server, and how to ask for them."""

    server: Server
    minter: Minter | None
    connectors: Connections

    def ask(self, wrong: str, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do *work*; raises `Trouble`, which begins with *wrong*."""
        return self.server.run(functools.partial(work, *arguments), wrong, self.minter)


def panel_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say which server; it receives `panel`."""

    @functools.wraps(command)
    def run(server: Server, **parameters: Any) -> None:
        minter = server.minter()
        token = server.credential(minter, _TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
        command(Panel(server, minter, Connections(server.url, token)), **parameters)

    return server_options("An API key or token with the scope admin.")(run)


@connector.command("list")
@panel_options
def list_connectors(panel: Panel) -> None:
    """List the connectors, as the node that answers sees them."""
    shown = panel.ask("Not listed", panel.connectors.list)
    if not shown.connectors:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, shown.connectors)]))


@connector.command()
@click.argument("name", type=ConnectorName())
@panel_options
def pause(panel: Panel, name: str) -> None:
    """Have the connector take nothing more, on all nodes, until it is resumed."""
    panel.ask(f"{name} is not paused", panel.connectors.pause, name)
    click.echo(f"{name} is paused.")


@connector.command()
@click.argument("name", type=ConnectorName())
@panel_options
def resume(panel: Panel, name: str) -> None:
    """Have a paused connector go on."""
    panel.ask(f"{name} is not resumed", panel.connectors.resume, name)
    click.echo(f"{name} goes on.")


@connector.command()
@click.argument("name", type=ConnectorName())
@click.argument("place")
@panel_options
def skip(panel: Panel, name: str, place: str) -> None:
    """Pass over the record at PLACE (topic/partition/offset), which cannot be read."""
    panel.ask(f"{place} is not skipped", panel.connectors.skip, name, place)
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
