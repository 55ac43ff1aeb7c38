"""Which server a command talks to, and with which credential.

The address is that of `--url` or `TOCSIN_URL`; without it, that of the server which these settings
(`host`, `port`) are of. The credential is that of `--token`, `--token-file` or `TOCSIN_TOKEN`;
without it, one is made with the secret of the server, which has to be on this machine.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio
from click.core import ParameterSource

from tocsin.cli.credentials import TOKEN_SETTINGS, Minter, await_minter
from tocsin.cli.options import subset
from tocsin.cli.own_address import url_of
from tocsin.cli.parameters import GivenToken, ServerUrl, TokenFile
from tocsin.cli.trouble import Trouble, program
from tocsin.client.calls import CallFailed, Unreachable
from tocsin.settings.sources import Flags, load_settings

T = TypeVar("T")

URL_VARIABLE: Final = "TOCSIN_URL"
TOKEN_VARIABLE: Final = "TOCSIN_TOKEN"
START_PATIENCE: Final = 60.0
"""Seconds to wait for a server that is just starting."""
_TRY_EVERY: Final = 0.25
"""Seconds between attempts to reach a server that is starting: a person waits."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server at *url*; *token* is what the person gave."""

    url: str
    token: str | None
    flags: Flags

    def minter(self, patience: float = 0.0) -> Minter | None:
        """The maker of tokens, `None` where a token was given; raises `Trouble`."""
        if self.token is not None:
            return None
        return await_minter(self.flags, self.url, patience, self._tell_of_waiting)

    def credential(
        self, minter: Minter | None, user: str, scopes: Collection[str], lifetime: float
    ) -> str:
        """The token that was given, or one of *minter*."""
        if minter is not None:
            return minter.mint(user, scopes, lifetime)
        assert self.token is not None
        return self.token

    def run(
        self,
        work: Callable[[], Awaitable[T]],
        wrong: str,
        minter: Minter | None,
        patience: float = 0.0,
    ) -> T:
        """Do *work*, which calls the server; raises `Trouble`, which begins with *wrong*."""
        try:
            return trio.run(_when_it_is_there, work, patience)
        except CallFailed as error:
            if error.status == 401:
                remedy, where = self.remedy_of_401(minter)
                raise Trouble(
                    f"{wrong}: the server at {self.url} does not accept it: {error.wrong}",
                    remedy,
                    where,
                ) from None
            raise Trouble(f"{wrong}: {error.wrong}", error.remedy, error.where) from None

    def remedy_of_401(self, minter: Minter | None) -> tuple[str, str]:
        """The remedy for a credential that the server does not know, and where it is from."""
        if minter is None:
            return f"give one of this server: see {program()} token and {program()} key --help", ""
        if minter.kept_in is None:
            return "set the jwt_secret that the server has, or give --token", "jwt_secret"
        remedy = (
            "name the data directory of that server, which it prints when it starts, with --data; "
            "or give --token"
        )
        return remedy, f"made with the secret in {minter.kept_in}"

    def _tell_of_waiting(self, data: Path) -> None:
        click.echo(
            f"There is no installation in {data} yet. Waiting for its server at {self.url}: "
            f"start it with {program()} serve, or name another data directory with --data.",
            err=True,
        )


async def _when_it_is_there(work: Callable[[], Awaitable[T]], patience: float) -> T:
    """*work*, repeated for *patience* seconds while no server listens. Such a request was never
    received, so nothing is done twice."""
    deadline, told = trio.current_time() + patience, False
    while True:
        try:
            return await work()
        except Unreachable as error:
            if trio.current_time() >= deadline:
                raise
            if not told:
                click.echo(f"{error.wrong}. Waiting up to {patience:g} s for it.", err=True)
                told = True
        await trio.sleep(_TRY_EVERY)


def server_options(about_token: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options that say which server and with which token, as `server`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(
            url: str | None, token: str | None, token_file: str | None, flags: Flags, **rest: Any
        ) -> None:
            given = _given_token(token, token_file)
            command(server=Server(url or own_url(flags), given, flags), **rest)

        decorated = subset(*TOKEN_SETTINGS)(run)
        decorated = click.option(
            "--token-file", type=TokenFile(), help="A file with the token: others see flags."
        )(decorated)
        decorated = click.option(
            "--token", type=GivenToken(), envvar=TOKEN_VARIABLE,
            help=f"{about_token} [{TOKEN_VARIABLE}]",
        )(decorated)  # fmt: skip
        return click.option(
            "--url", type=ServerUrl(), envvar=URL_VARIABLE,
            help=f"The server. [{URL_VARIABLE}; default: `host` and `port` of the settings]",
        )(decorated)  # fmt: skip

    return decorate


def _given_token(token: str | None, from_file: str | None) -> str | None:
    if from_file is None:
        return token
    source = click.get_current_context().get_parameter_source("token")
    if token is not None and source is not ParameterSource.ENVIRONMENT:
        raise click.UsageError("Give --token or --token-file, not both.")
    return from_file


def own_url(flags: Flags) -> str:
    """Where the server listens that these settings are of. Raises `Trouble`, `SettingsError`."""
    return url_of(load_settings(flags, os.environ))
