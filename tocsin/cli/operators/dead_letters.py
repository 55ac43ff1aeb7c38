"""`tocsin dead-letters`: notifications that did not arrive, for operators.

Over the HTTP API of a running server, because the server delivers a letter that is replayed.
"""

from __future__ import annotations

from typing import Final

import click
import msgspec

from tocsin.cli.groups import CommandGroup
from tocsin.cli.operators.panel import Panel, panel_options
from tocsin.cli.parameters import UserName
from tocsin.cli.tables import table
from tocsin.client.dead_letters import DeadLetterCalls, Letter

_HEADINGS: Final = ("ID", "DEAD", "USER", "DEVICE", "NOTIFICATION", "CAUSE", "ATTEMPTS", "STATUS")


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """List, show, replay and discard dead letters.

    A dead letter is a notification that a device did not acknowledge however often it was sent, or
    that expired before any device had it; a message that a connector took from a broker and that
    can never be stored; a send on a channel that was given up; or a receipt that the receiver of a
    webhook refused. Without --token, a token is made with the secret of the server, which has to be
    on this machine.
    """


@dead_letters.command("list")
@click.option(
    "--status",
    type=click.Choice(["dead", "replayed", "discarded", "all"]),
    default="dead",
    show_default=True,
    help="What has become of them.",
)
@click.option(
    "--kind",
    type=click.Choice(["delivery", "ingest", "send", "receipt", "all"]),
    default="all",
    show_default=True,
    help="What did not arrive.",
)
@click.option("--user", type=UserName(), help="Only this user's.")
@click.option("--notification", metavar="id", help="Only those of this notification.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Go on from this one.")
@panel_options(DeadLetterCalls)
def list_letters(panel: Panel[DeadLetterCalls], **query: object) -> None:
    """List dead letters, the newest first."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    page = panel.ask("Not listed", panel.calls.page, given)
    if not page.dead_letters:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, page.dead_letters)]))
    if page.next is not None:
        click.echo(f"There are more: --before {page.next}", err=True)


@dead_letters.command()
@click.argument("id", type=click.IntRange(1))
@panel_options(DeadLetterCalls)
def show(panel: Panel[DeadLetterCalls], id: int) -> None:  # noqa: A002 (what the person calls it)
    """Show the dead letter with this ID, its history and its notification, as JSON."""
    found = panel.ask("Not shown", panel.calls.show, id)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1))
@panel_options(DeadLetterCalls)
def replay(panel: Panel[DeadLetterCalls], ids: tuple[int, ...]) -> None:
    """Deliver the dead letters with these IDs once more."""
    for each in ids:
        panel.ask(f"{each} is not replayed", panel.calls.replay, each)
        click.echo(f"{each} is on its way again.")


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1))
@panel_options(DeadLetterCalls)
def discard(panel: Panel[DeadLetterCalls], ids: tuple[int, ...]) -> None:
    """Settle the dead letters with these IDs without delivery; again is no error."""
    for each in ids:
        panel.ask(f"{each} is not discarded", panel.calls.discard, each)
        click.echo(f"{each} is discarded.")


def _row(letter: Letter) -> tuple[str, ...]:
    return (
        str(letter.id),
        letter.dead_at,
        letter.user or "-",
        letter.device or _receiver(letter),
        letter.notification or f"{letter.connector or letter.webhook}: {letter.place}",
        letter.cause,
        str(letter.attempts),
        letter.status,
    )


def _receiver(letter: Letter) -> str:
    """The receiver of what was for no device."""
    if letter.channel is not None:
        return f"{letter.channel}/{letter.address}"
    return letter.webhook or "-"
