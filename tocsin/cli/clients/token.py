"""`tocsin token`: print a token that the server of these settings believes."""

from __future__ import annotations

import click

from tocsin.cli.credentials import TOKEN_SETTINGS, find_minter
from tocsin.cli.options import subset
from tocsin.cli.parameters import Duration, UserName, scope_option
from tocsin.settings.sources import Flags


@click.command()
@click.argument("user", type=UserName())
@scope_option(required=False, about="What it allows besides the user's own inbox.")
@click.option(
    "--lifetime", type=Duration(), default="1h", show_default=True, help="How long it is good for."
)
@subset(*TOKEN_SETTINGS)
def token(user: str, scopes: tuple[frozenset[str], ...], lifetime: float, flags: Flags) -> None:
    """Print a token for USER, signed with the server's secret.

    The secret is `jwt_secret`, or the development secret in the data directory, which the server
    makes when it first starts. The token stands alone on the last line.
    """
    click.echo(find_minter(flags).mint(user, frozenset().union(*scopes), lifetime))
