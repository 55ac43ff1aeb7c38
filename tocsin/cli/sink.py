"""`tocsin sink`: how far sinks in brokers are, for operators. Over the HTTP API of a server."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from tocsin.cli.connector import ConnectorName
from tocsin.cli.credentials import Minter
from tocsin.cli.groups import CommandGroup
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.tables import table
from tocsin.client.sinks import SinkCalls, SinkShown

T = TypeVar("T")

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""
_HEADINGS: Final = ("NAME", "KIND", "STATE", "BEHIND", "LOST", "REASON")


@click.group("sink", cls=CommandGroup)
def sink() -> None:
    """List, pause, enable and rewind sinks in brokers.

    Receipts are carried to a sink. Without --token, a token is made with the secret of the server,
    which has to be on this machine.
    """


@dataclass(frozen=True, slots=True)
class SinkPanel:
    """The sinks of a server, and how to ask for them."""

    server: Server
    minter: Minter | None
    sinks: SinkCalls

    def ask(self, wrong: str, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do *work*; raises `Trouble`, which begins with *wrong*."""
        return self.server.run(functools.partial(work, *arguments), wrong, self.minter)


def panel_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say which server; it receives `panel`."""

    @functools.wraps(command)
    def run(server: Server, **parameters: Any) -> None:
        minter = server.minter()
        token = server.credential(minter, _TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
        command(SinkPanel(server, minter, SinkCalls(server.url, token)), **parameters)

    return server_options("An API key or token with the scope admin.")(run)


@sink.command("list")
@panel_options
def list_sinks(panel: SinkPanel) -> None:
    """List the sinks, and how many places of the log each is behind."""
    shown = panel.ask("Not listed", panel.sinks.list)
    if not shown.sinks:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, shown.sinks)]))


@sink.command()
@click.argument("name", type=ConnectorName())
@panel_options
def pause(panel: SinkPanel, name: str) -> None:
    """Have nothing more carried to the sink until it is enabled; it keeps its place."""
    panel.ask(f"{name} is not paused", panel.sinks.pause, name)
    click.echo(f"{name} is paused.")


@sink.command()
@click.argument("name", type=ConnectorName())
@panel_options
def enable(panel: SinkPanel, name: str) -> None:
    """Have a paused or disabled sink go on where it stopped."""
    panel.ask(f"{name} is not enabled", panel.sinks.enable, name)
    click.echo(f"{name} goes on.")


@sink.command()
@click.argument("name", type=ConnectorName())
@click.argument("since")
@panel_options
def rewind(panel: SinkPanel, name: str, since: str) -> None:
    """Have all receipts since SINCE (such as 2026-11-30T08:00:00Z) carried again."""
    panel.ask(f"{name} is not rewound", panel.sinks.rewind, name, since)
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
