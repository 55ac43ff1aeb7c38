"""`tocsin dead-letters`: what did not arrive, for operators.

Over the HTTP API of a running server, because it is the server that delivers what is replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click
import msgspec
import trio

from tocsin.cli.credentials import TOKEN_SETTINGS, find_minter
from tocsin.cli.groups import Group
from tocsin.cli.options import Flags, subset
from tocsin.cli.parameters import GivenToken, UserName, url_option
from tocsin.cli.tables import table
from tocsin.cli.trouble import Trouble
from tocsin.client.calls import CallFailed
from tocsin.client.dead_letters import DeadLetters, Letter

T = TypeVar("T")

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
_HEADINGS: Final = ("ID", "DEAD", "USER", "DEVICE", "NOTIFICATION", "CAUSE", "ATTEMPTS", "STATUS")


@click.group("dead-letters", cls=Group)
def dead_letters() -> None:
    """List, show, replay and discard dead letters.

    A dead letter is a notification that a device did not acknowledge however often it was sent, or
    that expired before any device had it. Without --token, a token is made with the secret of the
    server, which has to be on this machine.
    """


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say which server; it receives `letters`."""

    @functools.wraps(command)
    def run(url: str, token: str | None, flags: Flags, **parameters: Any) -> None:
        if token is None:
            token = find_minter(flags).mint(_TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
        command(DeadLetters(url, token), **parameters)

    token_option = click.option(
        "--token", type=GivenToken(), help="An API key or token with the scope admin."
    )
    return url_option(token_option(subset(*TOKEN_SETTINGS)(run)))


@dead_letters.command("list")
@click.option(
    "--status",
    type=click.Choice(["dead", "replayed", "discarded", "all"]),
    default="dead",
    show_default=True,
    help="What has become of them.",
)
@click.option("--user", type=UserName(), help="Only this user's.")
@click.option("--notification", metavar="id", help="Only those of this notification.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Go on from this one.")
@server_options
def list_letters(letters: DeadLetters, **query: object) -> None:
    """List dead letters, the newest first."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    page = _run("Not listed", letters.page, given)
    if not page.dead_letters:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, page.dead_letters)]))
    if page.next is not None:
        click.echo(f"There are more: --before {page.next}", err=True)


@dead_letters.command()
@click.argument("id", type=click.IntRange(1))
@server_options
def show(letters: DeadLetters, id: int) -> None:  # noqa: A002 (what the person calls it)
    """Show the dead letter with this ID, its history and its notification, as JSON."""
    found = _run("Not shown", letters.show, id)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1))
@server_options
def replay(letters: DeadLetters, ids: tuple[int, ...]) -> None:
    """Deliver the dead letters with these IDs once more."""
    for each in ids:
        _run(f"{each} is not replayed", letters.replay, each)
        click.echo(f"{each} is on its way again.")


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1))
@server_options
def discard(letters: DeadLetters, ids: tuple[int, ...]) -> None:
    """Settle the dead letters with these IDs without delivery; again is no error."""
    for each in ids:
        _run(f"{each} is not discarded", letters.discard, each)
        click.echo(f"{each} is discarded.")


def _run(wrong: str, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
    try:
        return trio.run(work, *arguments)
    except CallFailed as error:
        raise Trouble(f"{wrong}: {error.wrong}", error.remedy, error.where) from None


def _row(letter: Letter) -> tuple[str, ...]:
    return (
        str(letter.id),
        letter.dead_at,
        letter.user,
        letter.device or "-",
        letter.notification,
        letter.cause,
        str(letter.attempts),
        letter.status,
    )
