"""`tocsin webhook`: where receipts are carried to, for operators.

Over the HTTP API of a running server, because the server judges a webhook's URL and carries to it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
import msgspec

from tocsin.cli.credentials import Minter
from tocsin.cli.groups import CommandGroup
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.tables import table
from tocsin.client.webhooks import Webhook, Webhooks
from tocsin.protocol.receipts import ReceiptKind

T = TypeVar("T")

_TOKEN_USER: Final = "operator"
_TOKEN_LIFETIME: Final = 60.0
"""Seconds: longer than one call takes, and of no use to a thief afterwards."""
_HEADINGS: Final = ("ID", "STATE", "BEHIND", "EVENTS", "URL", "REASON")
_ACTS: Final = {
    "pause": "It is paused, and keeps its place.",
    "enable": "It goes on where it stopped.",
}


@click.group("webhook", cls=CommandGroup)
def webhook() -> None:
    """Make, list, test and mend webhooks.

    A webhook is a URL to which receipts are posted: what was delivered, read, expired or is dead.
    Without --token, a token is made with the secret of the server, which has to be on this machine.
    """


@dataclass(frozen=True, slots=True)
class Office:
    """The webhooks of a server, and how to ask for them."""

    server: Server
    minter: Minter | None
    webhooks: Webhooks

    def do(self, wrong: str, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do *work*; raises `Trouble`, which begins with *wrong*."""
        return self.server.run(functools.partial(work, *arguments), wrong, self.minter)

    def ask(self, wrong: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer of the server; raises `Trouble`."""
        return self.do(wrong, self.webhooks.ask, method, path, body)


def office_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say which server; it receives `office`."""

    @functools.wraps(command)
    def run(server: Server, **parameters: Any) -> None:
        minter = server.minter()
        token = server.credential(minter, _TOKEN_USER, {"admin"}, _TOKEN_LIFETIME)
        command(Office(server, minter, Webhooks(server.url, token)), **parameters)

    return server_options("An API key or token with the scope admin.")(run)


@webhook.command()
@click.argument("destination", metavar="RECEIVER")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([str(kind.value) for kind in ReceiptKind]),
    help="A kind of receipt that it gets; may be repeated. Without it, all but answers to brokers.",
)
@click.option("--category", "categories", multiple=True, help="Only of this; may be repeated.")
@click.option("--batch-max", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--description", default="", help="What it is for.")
@office_options
def create(office: Office, destination: str, events: tuple[str, ...], **fields: Any) -> None:
    """Make a webhook that posts receipts to the URL of RECEIVER; prints its secret, this once."""
    body = {"url": destination, **fields, **({"events": list(events)} if events else {})}
    made = office.ask("Not made", "POST", "", body)
    click.echo(f"id      {made['id']}\nsecret  {made['secret']}")


@webhook.command("list")
@office_options
def list_webhooks(office: Office) -> None:
    """List the webhooks, with how far each is."""
    found = office.do("Not listed", office.webhooks.all)
    if not found:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, found)]))


@webhook.command()
@click.argument("id")
@office_options
def show(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Show the webhook with this ID, as JSON."""
    _print(office.ask("Not shown", "GET", f"/{id}"))


@webhook.command()
@click.argument("id")
@office_options
def test(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Post a test to the webhook with this ID, and show the answer, as JSON."""
    _print(office.ask("Not tested", "POST", f"/{id}/test"))


@webhook.command()
@click.argument("id")
@click.option("--overlap", type=click.FloatRange(0, 604800), default=86400, show_default=True,
              help="Seconds for which the present secret goes on signing.")  # fmt: skip
@office_options
def rotate(office: Office, id: str, overlap: float) -> None:  # noqa: A002 (what the person calls it)
    """Give the webhook with this ID a new secret, and print it."""
    rotated = office.ask("Not rotated", "POST", f"/{id}/rotate", {"overlap": overlap})
    click.echo(rotated["secret"])


@webhook.command()
@click.argument("id")
@office_options
def pause(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Pause the webhook with this ID; receipts wait for it."""
    office.ask("Not paused", "POST", f"/{id}/pause")
    click.echo(_ACTS["pause"])


@webhook.command()
@click.argument("id")
@office_options
def enable(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Enable the webhook with this ID, which was paused or disabled."""
    office.ask("Not enabled", "POST", f"/{id}/enable")
    click.echo(_ACTS["enable"])


@webhook.command()
@click.argument("id")
@click.argument("since", metavar="TIME")
@office_options
def rewind(office: Office, id: str, since: str) -> None:  # noqa: A002 (what the person calls it)
    """Carry to the webhook with this ID again what happened since TIME (RFC 3339)."""
    found = office.ask("Not rewound", "POST", f"/{id}/rewind", {"since": since})
    click.echo(f"{found['behind']} places of the log are ahead of it.")


@webhook.command()
@click.argument("id")
@office_options
def delete(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Remove the webhook with this ID, and its letters."""
    office.ask("Not removed", "DELETE", f"/{id}")
    click.echo("It is removed.")


@webhook.command()
@click.argument("id")
@office_options
def letters(office: Office, id: str) -> None:  # noqa: A002 (what the person calls it)
    """Show the receipts that the receiver of the webhook with this ID refused, as JSON."""
    _print(office.ask("Not listed", "GET", f"/{id}/letters"))


@webhook.command()
@click.argument("id")
@click.argument("position", type=click.IntRange(1))
@office_options
def replay(office: Office, id: str, position: int) -> None:  # noqa: A002 (what the person calls it)
    """Carry the refused receipt at POSITION again, and show the answer, as JSON."""
    _print(office.ask("Not replayed", "POST", f"/{id}/letters/{position}/replay"))


def _print(found: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def _row(found: Webhook) -> tuple[str, ...]:
    return (
        found.id,
        found.state,
        str(found.behind),
        ",".join(found.events),
        found.url,
        found.reason or "-",
    )
