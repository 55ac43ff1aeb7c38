"""Addresses of the services that a node uses: which are accepted, and how much of them is shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tocsin.settings.postgres_address import parse_postgres, show_postgres

_REDIS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


def check_database(text: str) -> str:
    """*text*, if it is a database's address; raises `ValueError` that says what is wrong."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("is not a database address")
    if scheme == "sqlite":
        if not rest.startswith("/") or rest in ("/", "//"):
            raise ValueError("names no SQLite file")
        if rest == "/:memory:":
            raise ValueError("would keep the database in memory and lose what was accepted")
    elif scheme not in ("postgres", "postgresql"):
        raise ValueError(f"begins with {scheme[:20]}://, which is no database that Tocsin speaks")
    else:
        parse_postgres(text)
    return text


def check_redis(text: str) -> str:
    """*text*, if it is a Redis's address; raises `ValueError` that says what is wrong."""
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in ("redis", "rediss"):
        raise ValueError("is not a redis:// or rediss:// address")
    parts = split_address(text)
    if parts is None:
        raise ValueError("is not a well-formed address")
    if not re.fullmatch(r"/?|/[0-9]{1,5}", parts[2]):
        raise ValueError("does not end in a database's number, or nothing for 0")
    # The driver would ignore an unknown option in silence, or fail at the first use only.
    known = _REDIS_OPTIONS if scheme == "rediss" else frozenset()
    options = dict(parse_qsl(urlsplit(text).query, keep_blank_values=True))
    if options.keys() - known:
        allowed = f"only {', '.join(sorted(known))}" if known else "none"
        raise ValueError(f"has options in its query, of which there may be {allowed}")
    for option, path in options.items():
        _expect_readable(option, path)
    return text


def _expect_readable(option: str, path: str) -> None:
    # The driver would say that there is no such file, but not which, each time that it connects.
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        wrong = f"{option} names the file {path!r}, which cannot be read: {error.strerror}"
        raise ValueError(wrong) from error


def show_database(text: str) -> str:
    """The address without user, password and query: *which* database it is, and nothing else."""
    if text.startswith("sqlite://"):
        return text
    return show_postgres(text)


def split_address(text: str) -> tuple[str, str, str] | None:
    """(scheme, host with port, path) of an address, or None if it is not well-formed.

    An `@` anywhere but before the host means that a password with `/`, `?` or `#` was not
    percent-encoded; taking it for a path would show a part of the password.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.path + parts.query + parts.fragment:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host if port is None else f"{host}:{port}", parts.path
