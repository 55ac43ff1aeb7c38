"""The kinds of arguments and options that commands share, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from tocsin.protocol.log.cursor import UnreadableCursor, parse_cursor
from tocsin.protocol.user_ids import USER_ID_CHARACTERS_MAX, is_user_id
from tocsin.protocol.values import is_identifier
from tocsin.server.auth.principal import SCOPES, TOKEN_LENGTH_MAX
from tocsin.settings.kinds import read_duration
from tocsin.settings.record import DAY

DEFAULT_URL: Final = "http://127.0.0.1:8080"
LIFETIME_MAX: Final = 3650 * DAY
"""Seconds, ten years: a longer lifetime is a typing error."""

Parameter = click.Parameter | None
Context = click.Context | None


class DeviceName(click.ParamType[str]):
    """A device's id, as the protocol has it."""

    name = "device"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        if not is_identifier(value):
            self.fail("a device has 1 to 128 characters of A-Z a-z 0-9 . _ : @ -", param, ctx)
        return value


class UserName(click.ParamType[str]):
    """A user's id, as the protocol has it."""

    name = "user"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        if not is_user_id(value):
            wrong = f"a user has 1 to {USER_ID_CHARACTERS_MAX} visible characters, without spaces"
            self.fail(wrong, param, ctx)
        return value


class Scopes(click.ParamType[frozenset[str]]):
    """Scopes, separated by commas or spaces."""

    name = "scopes"

    def convert(self, value: str, param: Parameter, ctx: Context) -> frozenset[str]:
        scopes = frozenset(value.replace(",", " ").split())
        known = " and ".join(sorted(SCOPES, reverse=True))
        if unknown := sorted(scopes - SCOPES):
            self.fail(f"no such scope: {', '.join(unknown)}; there are {known}", param, ctx)
        if not scopes:
            self.fail(f"names no scope; there are {known}", param, ctx)
        return scopes


class Duration(click.ParamType[float]):
    """Seconds, *seconds_min* or more, written as the durations of the settings are."""

    name = "duration"

    def __init__(self, seconds_min: float = 1.0) -> None:
        self._seconds_min = seconds_min

    def convert(self, value: str, param: Parameter, ctx: Context) -> float:
        try:
            seconds = read_duration(value)
        except ValueError as error:
            self.fail(f"it {error}; give 30d, 24h, 5m, 10s or plain seconds", param, ctx)
        if not self._seconds_min <= seconds <= LIFETIME_MAX:
            self.fail(f"it is {value}; give {self._seconds_min:g}s to 3650d", param, ctx)
        return seconds


class GivenToken(click.ParamType[str]):
    """A token or an API key that the person has."""

    name = "token"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        text = value.strip()
        # Not repeated in the error: it may be a good token with something stuck to it.
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            self.fail("a token has no spaces or special characters, and is not empty", param, ctx)
        if len(text) > TOKEN_LENGTH_MAX:
            self.fail(f"a token has at most {TOKEN_LENGTH_MAX} characters", param, ctx)
        return text


class TokenFile(GivenToken):
    """A file that holds nothing but a token or an API key."""

    name = "file"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        try:
            with Path(value).open("rb") as file:
                text = file.read(2 * TOKEN_LENGTH_MAX).decode()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            self.fail(f"{value} cannot be read: {reason}", param, ctx)
        return super().convert(text, param, ctx)


class CursorText(click.ParamType[str]):
    """A cursor that a server gave."""

    name = "cursor"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        try:
            parse_cursor(value, "")
        except UnreadableCursor as error:
            self.fail(f"{value!r} is {error}", param, ctx)
        return value


class Json(click.ParamType[Any]):
    """Any JSON."""

    name = "json"

    def convert(self, value: str, param: Parameter, ctx: Context) -> Any:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            self.fail(f"this is not JSON: {error}", param, ctx)


class ServerUrl(click.ParamType[str]):
    """The address of a server, perhaps under a path; `http://` or `https://`."""

    name = "url"

    def convert(self, value: str, param: Parameter, ctx: Context) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and parts.port != 0 and not parts.query and not parts.fragment
        except ValueError:
            usable = False
        if not usable:
            self.fail(f"{value!r} is not an address such as {DEFAULT_URL}", param, ctx)
        return value.rstrip("/")


def scope_option(*, required: bool, about: str) -> Callable[..., Any]:
    """Gives a command `--scope`, as `scopes`: any number of sets."""
    about += " May be repeated, or name several: notify,admin."
    return click.option(
        "--scope", "scopes", type=Scopes(), multiple=True, required=required, help=about
    )
