"""Credentials of the commands that talk to a server: one that is given, or one made on the spot.

Whoever can read the server's secret may be anybody, so on the server's own machine the commands
need no token. A secret is only ever *read* for this: making one, in whatever directory the command
happens to be called from, would give tokens that no server believes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from tocsin.cli.options import Flags, load_settings
from tocsin.cli.trouble import Trouble, program
from tocsin.secrets import FILE_NAME, DevelopmentSecrets
from tocsin.server.auth import AuthConfigurationError, mint
from tocsin.settings import Problem, Settings, SettingsError

TOKEN_SETTINGS: Final = (
    *("data", "database"),
    *("jwt_secret", "jwt_issuer", "jwt_audience", "user_claim"),
)


@dataclass(frozen=True, slots=True)
class Minter:
    """Makes tokens with a server's own secret."""

    settings: Settings
    secret: str

    def mint(self, user: str, scopes: Collection[str], lifetime: float) -> str:
        """A token of *user* for *lifetime* seconds from now."""
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
                Problem(("jwt_secret",), f"cannot be used: {error}", remedy)
            ) from None


def open_minter(flags: Flags) -> Minter:
    """With the secret of these settings, made if there is none. Raises `SettingsError`."""
    settings = load_settings(flags, os.environ)
    return _minter(settings, DevelopmentSecrets.open(settings, os.urandom).jwt_secret)


def find_minter(flags: Flags) -> Minter:
    """As `open_minter`, but makes no secret: raises `Trouble` if there is none."""
    settings = load_settings(flags, os.environ)
    path = settings.data / FILE_NAME
    if not settings.has_jwt and not path.exists():
        raise Trouble(
            "There is no token, and no server's secret to make one with",
            f"start the server here ({program()} serve), name its data directory, or give --token",
            str(path),
        )
    return _minter(settings, DevelopmentSecrets.open(settings, os.urandom).jwt_secret)


def _minter(settings: Settings, secret: str | None) -> Minter:
    if secret is None:
        wrong = "is not set; the public keys that are can verify tokens, and not make them"
        remedy = "let the identity provider make the token; or set jwt_secret as well"
        raise SettingsError(Problem(("jwt_secret",), wrong, remedy))
    return Minter(settings, secret)


def token_source(given: str | None, make: Callable[[], str]) -> Callable[[], str]:
    """Gives *given* each time, or makes a new one each time."""
    return make if given is None else lambda: given
