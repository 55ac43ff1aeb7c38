"""`tocsin key`: API keys, for programs that publish.

Straight to the store, so it works whether a server runs or not. A running server looks a key up
when it is first used, and believes what it found for five seconds.
"""

from __future__ import annotations

import os
import re
import time
from typing import Final

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.options import subset
from tocsin.cli.parameters import scope_option
from tocsin.cli.tables import table
from tocsin.cli.trouble import Trouble, program
from tocsin.cli.upkeep.auditing import audit_command
from tocsin.cli.upkeep.stores import STORE_SETTINGS, open_as_it_is, run_with_store
from tocsin.persistence.store import Store
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.key_commands import ApiKey, CreateKey, RevokeKey
from tocsin.persistence.store.queries import Keys, ListKeys
from tocsin.protocol.values import to_rfc3339
from tocsin.server.auth.keys import KEY_PREFIX, generate_key
from tocsin.settings.sources import Flags, load_settings

NAME_MAX: Final = 100
"""Characters of a key's name: one line of `tocsin key list`."""
_ID: Final = re.compile(rf"(?:{KEY_PREFIX})?([a-z2-7]{{16}})(?:_[a-z2-7]*)?")


@click.group(cls=CommandGroup)
def key() -> None:
    """Create, list and revoke API keys.

    They work on the database itself, which `serve` and `migrate` make: whether a server runs makes
    no difference. A running server knows a new key at once, and has forgotten a revoked one within
    5 seconds.
    """


@key.command()
@scope_option(required=True, about="What it allows: notify (to post), admin.")
@click.option("--name", default="", help="What it is for, to tell it from others in the list.")
@subset(*STORE_SETTINGS)
def create(scopes: tuple[frozenset[str], ...], name: str, flags: Flags) -> None:
    """Make a key and print it, alone on the last line.

    It is shown this once: the database holds only its hash.
    """
    if len(name) > NAME_MAX or not all(each.isprintable() for each in name):
        raise click.BadParameter(
            f"a name has at most {NAME_MAX} characters, on one line", param_hint="--name"
        )
    made = generate_key(os.urandom)
    named = tuple(sorted(frozenset().union(*scopes)))
    stored = ApiKey(made.id, made.hash, named, name, time.time_ns() // 1_000_000)

    async def work(store: Store) -> None:
        await open_as_it_is(store)
        await store.write([CreateKey(stored)])

    run_with_store(flags, work)
    _audit(flags, "API key made", made.id, named)
    click.echo(f"Key {made.id} is made. This is the only time that it is shown:", err=True)
    click.echo(made.text)


@key.command("list")
@subset(*STORE_SETTINGS)
def list_keys(flags: Flags) -> None:
    """List all keys, oldest first, also those that are revoked."""

    async def work(store: Store) -> Keys:
        await open_as_it_is(store)
        keys: Keys
        [keys] = await store.read([ListKeys()])
        return keys

    keys = run_with_store(flags, work).keys
    if keys:
        click.echo(table([("ID", "NAME", "SCOPES", "CREATED", "REVOKED"), *map(_row, keys)]))
    else:
        click.echo(f"There are no keys. Make one: {program()} key create --scope notify", err=True)


@key.command()
@click.argument("id")
@subset(*STORE_SETTINGS)
def revoke(id: str, flags: Flags) -> None:  # noqa: A002 (what the person calls it)
    """Revoke the key with this ID, for good. Again is no error.

    The ID is the part after `tk_`; the whole key is understood as well.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise click.BadParameter(
            "an id has 16 characters of a-z and 2-7, as `key list` shows them", param_hint="ID"
        )
    command = RevokeKey(match[1], time.time_ns() // 1_000_000)

    async def work(store: Store) -> bool:
        await open_as_it_is(store)
        [result] = await store.write([command])
        return not isinstance(result, NotFound)

    if not run_with_store(flags, work):
        raise Trouble(
            f"There is no key with the id {command.id}", f"see {program()} key list, and repeat"
        )
    _audit(flags, "API key revoked", command.id)
    click.echo(f"Key {command.id} is revoked; a running server obeys within 5 seconds.")


def _audit(flags: Flags, event: str, key: str, scopes: tuple[str, ...] | None = None) -> None:
    audit_command(load_settings(flags, os.environ), event, key=key, scopes=scopes)


def _row(kept: ApiKey) -> tuple[str, ...]:
    revoked = "-" if kept.revoked_at is None else to_rfc3339(kept.revoked_at)
    return kept.id, kept.name or "-", ",".join(kept.scopes), to_rfc3339(kept.created_at), revoked
