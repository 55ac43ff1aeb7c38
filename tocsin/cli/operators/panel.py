"""The panel of an operator's command: a server, and the calls about one kind of thing there."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import click

from tocsin.cli.credentials import Minter
from tocsin.cli.parameters import Context, Parameter
from tocsin.cli.reaching import Server, server_options
from tocsin.settings.broker_tables import NAME_PATTERN

C = TypeVar("C")
T = TypeVar("T")

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""


class TableName(click.ParamType[str]):
    """The name of a table of the settings about a broker; *noun* says what the table describes."""

    name = "name"

    def __init__(self, noun: str) -> None:
        self._noun = noun

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        if not re.fullmatch(NAME_PATTERN, value):
            self.fail(f"a {self._noun} has 1 to 63 characters of a-z 0-9 _ -", param, ctx)
        return value


@dataclass(frozen=True, slots=True)
class Panel(Generic[C]):
    """A server, and its *calls* about one kind of thing."""

    server: Server
    minter: Minter | None
    calls: C

    def ask(self, wrong: str, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do *work*; raises `Trouble`, which begins with *wrong*."""
        return self.server.run(functools.partial(work, *arguments), wrong, self.minter)


def open_panel(server: Server, calls: Callable[[str, str], C]) -> Panel[C]:
    """The panel of *server*, whose calls *calls* makes of its URL and an operator's token."""
    minter = server.minter()
    token = server.credential(minter, _TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
    return Panel(server, minter, calls(server.url, token))


def panel_options(
    calls: Callable[[str, str], C],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options that say which server; it receives `panel`: see `open_panel`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(server: Server, **parameters: Any) -> None:
            command(open_panel(server, calls), **parameters)

        return server_options("An API key or token with the scope admin.")(run)

    return decorate
