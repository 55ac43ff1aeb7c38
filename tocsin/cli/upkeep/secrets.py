"""`tocsin secrets`: the secrets that the database keeps sealed."""

from __future__ import annotations

import asyncio
import os

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.options import subset
from tocsin.cli.trouble import Trouble
from tocsin.cli.upkeep.auditing import audit_command
from tocsin.cli.upkeep.databases import settings_and_name, troubles
from tocsin.cli.upkeep.hands import open_hands
from tocsin.cli.upkeep.stores import STORE_SETTINGS, open_as_it_is, run_with_store
from tocsin.persistence.upkeep.resealing import Resealed, reseal
from tocsin.protocol.secret_box import SecretBox
from tocsin.settings import Settings
from tocsin.settings.sources import Flags


@click.group(cls=CommandGroup)
def secrets() -> None:
    """Seal the secrets in the database with another key."""


@secrets.command("reseal")
@subset(*STORE_SETTINGS)
def reseal_all(flags: Flags) -> None:
    """Seal all with the first key of `secrets_key`: secrets of webhooks, and addresses of people.

    To change the key, give all nodes `secrets_key = "NEW,OLD"`, then run this, then take the old
    one away. Without an old one, it seals what was kept as it is. Nodes may run meanwhile, and it
    may be broken off and run again: what the first key has sealed is passed over.
    """
    settings, where = settings_and_name(flags)
    if not settings.secrets_key:
        raise Trouble(
            "There is no key to seal with",
            "set TOCSIN_SECRETS_KEY (or …_KEY_FILE): the new key, a comma, the old one",
            where,
        )
    run_with_store(flags, open_as_it_is)  # says what is missing, if anything is
    with troubles("Not all was sealed", where):
        found = asyncio.run(_reseal(settings))
    audit_command(settings, "secrets resealed", addresses=found.addresses, webhooks=found.webhooks)
    click.echo(f"Sealed anew: {found.addresses} addresses, {found.webhooks} webhooks")
    if found.unreadable:
        raise Trouble(
            f"No key opens {found.unreadable} of them, and they stay as they are",
            "add the key that has sealed them behind the others, and repeat; or set them anew",
            where,
        )
    click.echo("Nothing is sealed with another key any more.", err=True)


async def _reseal(settings: Settings) -> Resealed:
    async with open_hands(settings) as hands:
        return await reseal(hands, SecretBox(settings.secrets_key, os.urandom))
