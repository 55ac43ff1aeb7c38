"""`tocsin webhook`: where receipts are carried to, for operators.

Over the HTTP API of a running server, because the server judges a webhook's URL and carries to it.
"""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from tocsin.cli.groups import CommandGroup
from tocsin.cli.operators.panel import Panel, panel_options
from tocsin.cli.tables import table
from tocsin.client.webhooks import Webhook, WebhookCalls
from tocsin.protocol.receipts.receipt import ReceiptKind

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
@panel_options(WebhookCalls)
def create(
    panel: Panel[WebhookCalls], destination: str, events: tuple[str, ...], **fields: Any
) -> None:
    """Make a webhook that posts receipts to the URL of RECEIVER; prints its secret, this once."""
    body = {"url": destination, **fields, **({"events": list(events)} if events else {})}
    made = panel.ask("Not made", panel.calls.ask, "POST", "", body)
    click.echo(f"id      {made['id']}\nsecret  {made['secret']}")


@webhook.command("list")
@panel_options(WebhookCalls)
def list_webhooks(panel: Panel[WebhookCalls]) -> None:
    """List the webhooks, with how far each is."""
    found = panel.ask("Not listed", panel.calls.list)
    if not found:
        click.echo("There are none.", err=True)
        return
    click.echo(table([_HEADINGS, *map(_row, found)]))


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def show(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Show the webhook with this ID, as JSON."""
    _print(panel.ask("Not shown", panel.calls.ask, "GET", f"/{id}"))


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def test(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Post a test to the webhook with this ID, and show the answer, as JSON."""
    _print(panel.ask("Not tested", panel.calls.ask, "POST", f"/{id}/test"))


@webhook.command()
@click.argument("id")
@click.option("--overlap", type=click.FloatRange(0, 604800), default=86400, show_default=True,
              help="Seconds for which the present secret goes on signing.")  # fmt: skip
@panel_options(WebhookCalls)
def rotate(panel: Panel[WebhookCalls], id: str, overlap: float) -> None:  # noqa: A002 (what the person calls it)
    """Give the webhook with this ID a new secret, and print it."""
    rotated = panel.ask(
        "Not rotated", panel.calls.ask, "POST", f"/{id}/rotate", {"overlap": overlap}
    )
    click.echo(rotated["secret"])


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def pause(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Pause the webhook with this ID; receipts wait for it."""
    panel.ask("Not paused", panel.calls.ask, "POST", f"/{id}/pause")
    click.echo(_ACTS["pause"])


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def enable(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Enable the webhook with this ID, which was paused or disabled."""
    panel.ask("Not enabled", panel.calls.ask, "POST", f"/{id}/enable")
    click.echo(_ACTS["enable"])


@webhook.command()
@click.argument("id")
@click.argument("since", metavar="TIME")
@panel_options(WebhookCalls)
def rewind(panel: Panel[WebhookCalls], id: str, since: str) -> None:  # noqa: A002 (what the person calls it)
    """Carry to the webhook with this ID again what happened since TIME (RFC 3339)."""
    found = panel.ask("Not rewound", panel.calls.ask, "POST", f"/{id}/rewind", {"since": since})
    click.echo(f"{found['behind']} places of the log are ahead of it.")


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def delete(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Remove the webhook with this ID, and its letters."""
    panel.ask("Not removed", panel.calls.ask, "DELETE", f"/{id}")
    click.echo("It is removed.")


@webhook.command()
@click.argument("id")
@panel_options(WebhookCalls)
def letters(panel: Panel[WebhookCalls], id: str) -> None:  # noqa: A002 (what the person calls it)
    """Show the receipts that the receiver of the webhook with this ID refused, as JSON."""
    _print(panel.ask("Not listed", panel.calls.ask, "GET", f"/{id}/letters"))


@webhook.command()
@click.argument("id")
@click.argument("position", type=click.IntRange(1))
@panel_options(WebhookCalls)
def replay(panel: Panel[WebhookCalls], id: str, position: int) -> None:  # noqa: A002 (what the person calls it)
    """Carry the refused receipt at POSITION again, and show the answer, as JSON."""
    _print(panel.ask("Not replayed", panel.calls.ask, "POST", f"/{id}/letters/{position}/replay"))


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
