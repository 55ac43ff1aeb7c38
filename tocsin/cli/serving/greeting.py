"""The greeting of a node for the person who has started it: where it is, and what to do next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from tocsin import __version__
from tocsin.cli.own_address import url_of
from tocsin.cli.trouble import program
from tocsin.server.auth.tokens import mint
from tocsin.settings import Settings
from tocsin.settings.kinds import DATABASE
from tocsin.settings.secrets import DevelopmentSecrets

_TOKEN_LIFETIME: Final = 86_400.0
"""Seconds, a day: the token is printed, and pasted while Tocsin is being tried."""


def whereabouts(settings: Settings, port: int) -> dict[str, object]:
    """Where a node of *settings* that listens on *port* is, for a line of its log."""
    return {
        "host": ",".join(settings.host),
        "port": port,
        "data_directory": str(settings.data.absolute()),
        "docs": f"{url_of(settings, port)}/docs",
    }


def greeting(settings: Settings, port: int, secrets: DevelopmentSecrets, now: float) -> str:
    """For the person who has just started a node; with commands to paste, where it made its own
    secret.

    *now* is in Unix seconds.
    """
    url = url_of(settings, port)
    lines = [
        "",
        f"Tocsin {__version__} listens on {url}",
        "",
        f"  data       {settings.data.absolute()}",
        *_database(settings),
        f"  read on    {url}/docs",
        "",
    ]
    if secrets.generated:
        lines += _first_steps(settings, url, secrets, now)
    return "\n".join(lines)


def _database(settings: Settings) -> list[str]:
    if settings.database is None:
        return []
    return [f"  database   {DATABASE.show(settings.database)}"]


def _first_steps(
    settings: Settings, url: str, secrets: DevelopmentSecrets, now: float
) -> list[str]:
    assert secrets.jwt_secret is not None, "generated secrets can make tokens"
    token = mint(
        secrets.jwt_secret,
        "producer",
        {"notify"},
        now,
        _TOKEN_LIFETIME,
        settings.jwt_issuer,
        settings.audience,
        settings.user_claim,
    )
    where = "" if url == "http://127.0.0.1:8080" else f" --url {url}"
    if settings.data != Path("tocsin-data"):
        where += f" --data {shlex.quote(str(settings.data.absolute()))}"
    return [
        "Listen, in one terminal:",
        "",
        f"  {program()} listen ada{where}",
        "",
        "Post, in another (this token is good for a day, on this machine only):",
        "",
        f"  curl {url}/v1/notifications \\",
        f"    -H 'Authorization: Bearer {token}' \\",
        """    -d '{"to":{"users":["ada"]},"title":"Hello, Ada"}'""",
        "",
    ]
