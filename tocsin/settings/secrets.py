"""Development secrets: with them `tocsin serve` runs with nothing set up.

A person who tries Tocsin should not have to invent a secret first. So when no setting says how user
tokens are verified, the server makes a secret and keeps it in its data directory, where `tocsin
token` finds the same one. That is safe only as long as nobody else can connect: `check_bind`
refuses every address that is not loopback, and a proxy in front, while a generated secret is in
use.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tocsin.settings import Settings
from tocsin.settings.kinds import is_loopback
from tocsin.settings.setting import SettingProblem, SettingsError

Entropy = Callable[[int], bytes]

FILE_NAME = "jwt-secret"
_SECRET_BYTES = 32
"""Of chance, written as text: as long as HS256 asks of a key (RFC 7518 §3.2)."""


@dataclass(frozen=True)
class DevelopmentSecrets:
    """The secret that user tokens are signed with, and whether it was generated.

    *generated* is about the secret, not about this start: one made by an earlier start and read
    back now is generated too. *jwt_secret* is None when only public keys were set up; then tokens
    can be verified here, but not made.
    """

    jwt_secret: str | None = field(repr=False)
    generated: bool

    @classmethod
    def open(cls, settings: Settings, entropy: Entropy) -> DevelopmentSecrets:
        """The secret of these settings; made in `settings.data` if they name no way to verify.

        Any number of processes may do this at once; all get the same secret. Raises `SettingsError`
        if it can neither be read nor kept. `entropy(n)` gives n random bytes (`os.urandom`).
        """
        if settings.has_jwt:
            return cls(settings.jwt_secret, generated=False)
        path = settings.data / FILE_NAME
        try:
            secret = _read(path)
            if secret is None:
                _create(path, entropy)
                secret = _read(path)
        except OSError as error:
            wrong = f"cannot be kept in {path}: {error.strerror}"
            remedy = "set TOCSIN_JWT_SECRET, or give a `data` directory that can be written to"
            raise SettingsError(SettingProblem(("jwt_secret",), wrong, remedy)) from error
        if secret is None:
            raise _unusable(path, "disappeared while it was read")
        return cls(secret, generated=True)

    @classmethod
    def find(cls, settings: Settings) -> DevelopmentSecrets | None:
        """As `open`, but makes nothing: `None` where there is no secret. Raises `SettingsError`."""
        if settings.has_jwt:
            return cls(settings.jwt_secret, generated=False)
        path = settings.data / FILE_NAME
        try:
            secret = _read(path)
        except NotADirectoryError:
            return None
        except OSError as error:
            wrong = f"cannot be read from {path}: {error.strerror}"
            remedy = "call this as the user that the server runs as, or give a token"
            raise SettingsError(SettingProblem(("jwt_secret",), wrong, remedy)) from error
        return None if secret is None else cls(secret, generated=True)


def check_bind(settings: Settings, generated: bool) -> None:
    """Raises `SettingsError` if a generated secret would be reachable from other machines."""
    if not generated or settings.is_local:
        return
    nobody = (
        "but nothing says whose tokens to trust"
        " (the generated development secret is for this machine only)"
    )
    remedy = "set TOCSIN_JWT_SECRET (`openssl rand -base64 32`), jwt_public_key or jwks_url"
    for host in settings.host:
        if not is_loopback(host):
            wrong = f"is {host}, which other machines can reach, {nobody}"
            raise SettingsError(
                SettingProblem(("host",), wrong, f"{remedy}; or listen on 127.0.0.1")
            )
    wrong = f"lets other machines come through a proxy, {nobody}"
    raise SettingsError(SettingProblem(("forwarded_from",), wrong, remedy))


def _read(path: Path) -> str | None:
    """The secret, or None if there is none yet."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1024)
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise _unusable(path, f"can be read by others (mode {mode & 0o777:04o})")
    if len(content) < _SECRET_BYTES or not content.isascii():
        raise _unusable(path, "is damaged")
    return content.decode("ascii")


def _unusable(path: Path, wrong: str) -> SettingsError:
    remedy = "delete the file, and a new one is made (tokens made so far end); or set jwt_secret"
    return SettingsError(SettingProblem(("jwt_secret",), f"in {path} {wrong}", remedy))


def _create(path: Path, entropy: Entropy) -> None:
    """Put a secret in place, unless another process is first.

    Written aside and linked: `link` is the one call that both fails if the name is taken (so that
    nobody's secret is replaced after it was used) and never shows a half-written file, which
    opening with O_EXCL would. Renaming would replace; locking would need every reader to lock too.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = base64.urlsafe_b64encode(entropy(_SECRET_BYTES)).rstrip(b"=")
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)
