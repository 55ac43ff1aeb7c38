"""`tocsin vapid`: the key that signs Web Push."""

from __future__ import annotations

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tocsin.cli.groups import CommandGroup
from tocsin.protocol.channels.webpush import public_key_text


@click.group(cls=CommandGroup)
def vapid() -> None:
    """Make the key that signs Web Push (RFC 8292)."""


@vapid.command()
def create() -> None:
    """Print a new private key, for the setting `vapid_private_key`.

    Browsers are bound to it: keep it, and give all nodes the same one.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    click.echo("Keep it, for example in a file that TOCSIN_VAPID_PRIVATE_KEY_FILE names.", err=True)
    click.echo(f"Browsers are told its public half: {public_key_text(private)}", err=True)
    click.echo(pem.decode(), nl=False)
