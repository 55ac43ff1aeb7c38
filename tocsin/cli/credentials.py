"""Credentials of the commands that talk to a server: one that is given, or one made on the spot.

A person who can read the server's secret can make any token, so on the server's own machine the
commands need none. A secret is only ever *read* for this: making one, in whatever directory the
command happens to be called from, would give tokens that no server believes.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tocsin.cli.installation import no_installation
from tocsin.cli.trouble import Trouble
from tocsin.server.auth.errors import AuthConfigurationError
from tocsin.settings import Settings
from tocsin.settings.kinds import is_loopback
from tocsin.settings.secrets import DevelopmentSecrets
from tocsin.settings.setting import SettingProblem, SettingsError
from tocsin.settings.sources import Flags, load_settings

TOKEN_SETTINGS: Final = (
    *("data", "database"),
    *("jwt_secret", "jwt_issuer", "jwt_audience", "user_claim"),
)
_LOOK_EVERY: Final = 0.2
"""Seconds between looks for the secret of a server that is starting: a person waits."""
_PROBE_TIMEOUT: Final = 1.0
"""Seconds for a connection on this machine: a server that answers does so at once."""


@dataclass(frozen=True, slots=True)
class Minter:
    """Makes tokens with a server's own secret; *kept_in* is the directory of one that it made."""

    settings: Settings
    secret: str
    kept_in: Path | None

    def mint(self, user: str, scopes: Collection[str], lifetime: float) -> str:
        """A token of *user* for *lifetime* seconds from now."""
        # Here, and not above: a command that was given a token needs no cryptography.
        from tocsin.server.auth.tokens import mint

        settings = self.settings
        try:
            return mint(
                self.secret,
                user,
                scopes,
                time.time(),
                lifetime,
                settings.jwt_issuer,
                settings.audience,
                settings.user_claim,
            )
        except AuthConfigurationError as error:
            remedy = "make one with `openssl rand -base64 32`"
            raise SettingsError(
                SettingProblem(("jwt_secret",), f"cannot be used: {error}", remedy)
            ) from None


def find_minter(flags: Flags) -> Minter:
    """With the secret of these settings. Raises `Trouble` if there is none, `SettingsError`."""
    settings = load_settings(flags, os.environ)
    found = _look(settings)
    if found is None:
        raise no_installation(settings.data)
    return found


def await_minter(flags: Flags, url: str, patience: float, tell: Callable[[Path], None]) -> Minter:
    """As `find_minter`, but waits up to *patience* seconds for a server that is just starting.

    *tell* is called once, with the directory, where that takes a while. Servers of other machines
    are not waited for, nor is one that runs already: that one keeps its secret somewhere else.
    """
    settings = load_settings(flags, os.environ)
    deadline = time.monotonic() + patience
    told = False
    while (found := _look(settings)) is None:
        if not is_local(url) or time.monotonic() >= deadline:
            raise no_installation(settings.data)
        # A server that answers has made its secret before.
        if _answers(url) and _look(settings) is None:
            raise Trouble(
                f"The server at {url} keeps its data somewhere else",
                "name its data directory, which it prints when it starts, with --data; "
                "or give --token",
                str(settings.data.absolute()),
            )
        if not told:
            tell(settings.data.absolute())
            told = True
        time.sleep(_LOOK_EVERY)
    return found


def _look(settings: Settings) -> Minter | None:
    secrets = DevelopmentSecrets.find(settings)
    if secrets is None:
        return None
    if secrets.jwt_secret is None:
        wrong = "is not set; the public keys that are can verify tokens, and not make them"
        remedy = "let the identity provider make the token; or set jwt_secret as well"
        raise SettingsError(SettingProblem(("jwt_secret",), wrong, remedy))
    kept_in = settings.data.absolute() if secrets.generated else None
    return Minter(settings, secrets.jwt_secret, kept_in)


def is_local(url: str) -> bool:
    """Whether *url* is an address that only this machine has."""
    return is_loopback(urlsplit(url).hostname or "")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with suppress(OSError), socket.create_connection((parts.hostname, port), _PROBE_TIMEOUT):
        return True
    return False
