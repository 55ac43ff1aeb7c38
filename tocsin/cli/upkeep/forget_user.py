"""`tocsin forget-user`: everything of a person, out of the whole database, with the proof."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from tocsin.cli.locks import running_server
from tocsin.cli.operators.panel import open_panel
from tocsin.cli.parameters import UserName
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.tables import table
from tocsin.cli.trouble import Trouble, program
from tocsin.cli.upkeep.auditing import audit_command
from tocsin.cli.upkeep.databases import settings_and_name, troubles
from tocsin.cli.upkeep.hands import open_hands
from tocsin.cli.upkeep.stores import open_as_it_is, run_with_store
from tocsin.client.calls import Call, ask
from tocsin.persistence.upkeep.forgetting import (
    Named,
    Person,
    claimed_keys,
    forget_for_good,
    survey,
)
from tocsin.server.auth.claims import jwt_credential
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.cli.upkeep.spooled import PersonInRedis

_PAUSE = 1.0
"""Seconds in which a node writes the ledger lines of a session that has ended."""


@click.command("forget-user")
@click.argument("user", type=UserName())
@click.option("--yes", is_flag=True, help="Do it. Without, only count what there is.")
@server_options("An API key or token with the scope admin.")
def forget_user(user: str, yes: bool, server: Server) -> None:
    """Remove all that names USER, and show what there was and what is left.

    Take their tokens away first, at your identity provider: whoever comes back with one is a new
    user. Where servers run, the sessions of USER are ended through the one at --url, on all nodes.
    With a Redis, posts that wait there are stored first, and then removed.

    Notifications that mention USER stay, and are counted. So do backups and logs.
    """
    settings, where = settings_and_name(server.flags)
    run_with_store(server.flags, open_as_it_is)  # says what is missing, if anything is
    person = Person(user, (jwt_credential(settings.jwt_issuer or "", user),))
    with troubles("Nothing was removed", where):
        before = _Found(asyncio.run(_look(settings, person)))
        redis = None if settings.redis is None else _in_redis(settings, person)
        if redis is not None:
            before.in_redis = redis.look(asyncio.run(_keys(settings, person)))
        if not yes:
            _show(before, None)
            click.echo(
                f"Nothing was removed. To do it: {program()} forget-user {user} --yes", err=True
            )
            return
        served = _is_served(settings)
        if served:
            _disconnect(server, user)
        after = _forget(settings, person, redis, served=served)
    # The line does not name the user: it would be the last trace.
    audit_command(settings, "user forgotten", rows=before.total)
    _show(before, after)
    if after.rows:
        raise Trouble(
            "Rows that name the user have come since",
            "see that no token of the user is accepted and no notification is posted to the user,"
            " and repeat",
            where,
        )
    click.echo("Nothing names them any more.")
    if redis is not None and served:
        click.echo(
            "For an hour, Redis keeps a mark by which a node that was cut off ends their sessions.",
            err=True,
        )


@dataclass
class _Found:
    """The rows that name the user: in the database, and in Redis if there is one."""

    named: Named
    in_redis: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, int]:
        return self.named.rows | self.in_redis

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def _show(before: _Found, after: _Found | None) -> None:
    head = ("TABLE", "ROWS") if after is None else ("TABLE", "BEFORE", "AFTER")
    left = {} if after is None else after.rows
    rows = [
        (name, str(count), *([] if after is None else [str(left.get(name, 0))]))
        for name, count in (dict.fromkeys(left, 0) | before.rows).items()
    ]
    click.echo(table([head, *rows]) if rows else "No row names them.")
    named = (after or before).named
    if mentions := named.mentions:
        has = "1 notification has" if mentions == 1 else f"{mentions} notifications have"
        click.echo(f"{has} the name in what it says to people.", err=True)
    if named.namesakes:
        where = ", ".join(f"{count} in {name}" for name, count in named.namesakes.items())
        click.echo(f"Other things have the very name, and keep it: {where}.", err=True)


def _is_served(settings: Settings) -> bool:
    if settings.sqlite_path is not None:
        return running_server(settings.sqlite_path) is not None
    from tocsin.persistence.postgres.hands import count_nodes

    return asyncio.run(count_nodes(settings.database_url)) > 0


def _disconnect(server: Server, user: str) -> None:
    path = f"/v1/admin/users/{quote(user, safe='')}/disconnect"
    panel = open_panel(server, lambda url, token: partial(ask, url, token))
    call = Call("POST", path, "disconnect", "admin")
    panel.ask("Nothing was removed: a server runs, and", panel.calls, call)


async def _look(settings: Settings, person: Person) -> Named:
    async with open_hands(settings) as hands:
        return await survey(hands, person)


def _in_redis(settings: Settings, person: Person) -> PersonInRedis:
    # Imported only when wanted: a SQLite file needs neither redis-py nor asyncio.
    from tocsin.cli.upkeep.spooled import PersonInRedis

    return PersonInRedis(settings, person)


async def _keys(settings: Settings, person: Person) -> set[tuple[str, str]]:
    async with open_hands(settings) as hands:
        return await claimed_keys(hands, person)


def _forget(
    settings: Settings, person: Person, redis: PersonInRedis | None, *, served: bool
) -> _Found:
    if redis is None:
        return _Found(asyncio.run(_forget_rows(settings, person)))
    redis.have_stored(served=served)
    keys = asyncio.run(_keys(settings, person))
    redis.forget(keys)
    return _Found(asyncio.run(_forget_rows(settings, person)), redis.look(keys))


async def _forget_rows(settings: Settings, person: Person) -> Named:
    async with open_hands(settings) as hands:
        # Also before the first look: ledger lines of a session are written when it has ended.
        await asyncio.sleep(_PAUSE)
        return await forget_for_good(hands, person, lambda: asyncio.sleep(_PAUSE))
