"""`tocsin send`: post one notification."""

from __future__ import annotations

import functools
import shlex
import sys
from typing import Any, Final

import click

from tocsin.cli.parameters import Duration, Json, UserName
from tocsin.cli.reaching import START_PATIENCE, Server, server_options
from tocsin.cli.trouble import program
from tocsin.client.posting import post

_TOKEN_USER: Final = "producer"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""


@click.command()
@click.argument("users", metavar="USER...", nargs=-1, required=True, type=UserName())
@click.argument("title")
@click.option("--body", help="More text.")
@click.option("--data-json", type=Json(), help="JSON for the receiving program (its `data`).")
@click.option("--url-link", metavar="URL", help="Where the notification leads (its `url`).")
@click.option("--category", help='Of the sender\'s own choosing.  [default: "default"]')
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high", "critical"]),
    help="How much it matters.  [default: normal]",
)
@click.option("--ttl", type=Duration(), help="For how long it matters; after that it expires.")
@click.option("--key", help="Idempotency key: posting again with the same one posts nothing new.")
@click.option("--yes", is_flag=True, help="A title of one word really goes to several users.")
@click.option(
    "--wait",
    type=Duration(0.0),
    default=f"{START_PATIENCE:g}s",
    show_default=True,
    help="How long to wait for a server that is just starting.",
)
@server_options("An API key or token with the scope notify.")
def send(
    users: tuple[str, ...],
    title: str,
    key: str | None,
    yes: bool,
    wait: float,
    server: Server,
    **fields: Any,
) -> None:
    """Send a notification with this TITLE to each USER.

    Prints its id. Without a token it makes one with the secret of the server, which has to be on
    this machine: in ./tocsin-data, in --data, or in the settings.
    """
    if not yes:
        _ask_about_quotes(users, title)
    minter = server.minter(wait)
    token = server.credential(minter, _TOKEN_USER, {"notify"}, _TOKEN_LIFETIME)
    fields["url"] = fields.pop("url_link")
    fields["data"] = fields.pop("data_json")
    given = {name: value for name, value in fields.items() if value is not None}
    draft = {"to": {"users": list(users)}, "title": title, **given}
    work = functools.partial(post, server.url, token, draft, key)
    posted = server.run(work, "Not sent", minter, wait)
    if posted.replayed:
        click.echo("It had been sent before with this key; nothing new was sent.", err=True)
    click.echo(posted.id)


def _ask_about_quotes(users: tuple[str, ...], title: str) -> None:
    """A title of one word for several users may be a sentence whose quotes were forgotten."""
    if len(users) == 1 or not title or any(each.isspace() for each in title):
        return
    sentence = " ".join((*users[1:], title))
    meant = f"{program()} send {shlex.quote(users[0])} {shlex.quote(sentence)}"
    names = f"{', '.join(users[:-1])} and {users[-1]}"
    question = f'This would send "{title}" to {names}.'
    hint = f"If it is one title, it needs quotes: {meant}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question}\n{hint}\nIf these are users, say so: --yes")
    click.echo(f"{question}\n{hint}", err=True)
    click.confirm("Send it to all of them?", abort=True, err=True)
