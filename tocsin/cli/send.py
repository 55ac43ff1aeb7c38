"""`tocsin send`: post one notification."""

from __future__ import annotations

from typing import Any, Final

import click
import trio

from tocsin.cli.credentials import TOKEN_SETTINGS, find_minter
from tocsin.cli.options import Flags, subset
from tocsin.cli.parameters import Duration, GivenToken, Json, UserName, url_option
from tocsin.cli.trouble import Trouble
from tocsin.client.calls import CallFailed
from tocsin.client.posting import Posted, post

_TOKEN_USER: Final = "producer"
_TOKEN_LIFETIME: Final = 60.0
_SETTINGS: Final = tuple(name for name in TOKEN_SETTINGS if name not in ("data", "database"))


@click.command()
@click.argument("users", metavar="USER...", nargs=-1, required=True, type=UserName())
@click.argument("title")
@click.option("--body", help="More text.")
@click.option("--data", type=Json(), help="JSON for the program that receives it.")
@click.option("--url-link", metavar="URL", help="Where the notification leads (its `url`).")
@click.option("--category", help='Of the sender\'s own choosing.  [default: "default"]')
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high", "critical"]),
    help="How much it matters.  [default: normal]",
)
@click.option("--ttl", type=Duration(), help="For how long it matters; after that it expires.")
@click.option("--key", help="Idempotency key: posting again with the same one posts nothing new.")
@url_option
@click.option("--token", type=GivenToken(), help="An API key or token with the scope notify.")
@click.option(
    "--data-dir",
    metavar="path",
    help="The server's data directory, to make a token with its secret when none is given.",
)
@subset(*_SETTINGS)
def send(
    users: tuple[str, ...],
    title: str,
    key: str | None,
    url: str,
    token: str | None,
    data_dir: str | None,
    flags: Flags,
    **fields: Any,
) -> None:
    """Send a notification with this TITLE to each USER.

    Prints its id. Without --token it makes one with the secret of the server, which has to be on
    this machine: in ./tocsin-data, in --data-dir, or in the settings.
    """
    if token is None:
        minter = find_minter({**flags, "data": data_dir})
        token = minter.mint(_TOKEN_USER, {"notify"}, _TOKEN_LIFETIME)
    fields["url"] = fields.pop("url_link")
    given = {name: value for name, value in fields.items() if value is not None}
    draft = {"to": {"users": list(users)}, "title": title, **given}
    click.echo(_post(url, token, draft, key).id)


def _post(url: str, token: str, draft: dict[str, Any], key: str | None) -> Posted:
    try:
        posted = trio.run(post, url, token, draft, key)
    except CallFailed as error:
        raise Trouble(f"Not sent: {error.wrong}", error.remedy, error.where) from None
    if posted.replayed:
        click.echo("It had been sent before with this key; nothing new was sent.", err=True)
    return posted
