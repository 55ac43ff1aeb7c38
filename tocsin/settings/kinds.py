"""The kinds of value a setting can have: how each is written, read and shown.

A kind reads what a person wrote, the same way wherever it was written: a flag and an environment
variable are always text, a TOML file has numbers and arrays as well. Reading answers "is this a
duration at all?"; whether it is a *sensible* one (bounds, other settings) is asked by the record in
`tocsin.settings`, so that a record made in code is held to the same limits.

Reading raises `ValueError` with a text that completes the sentence "<setting> …". The text never
repeats a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from tocsin.settings.postgres_address import MASK
from tocsin.settings.secrets_keys import read_secrets_keys
from tocsin.settings.service_urls import check_database, check_redis, show_database, split_address

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DURATION_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE_UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_DURATION = re.compile(r"([+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(ms|s|m|h|d)?")
_SIZE = re.compile(r"([+-]?[0-9]{1,18})\s*(GiB|MiB|KiB|B)?")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?")
_USUAL_PORTS = {"http": ":80", "https": ":443"}
# Schemes that no origin has: browsers send `null` for them, or the scheme of the page.
_NO_ORIGINS = frozenset({"file", "data", "blob", "filesystem", "about", "javascript", "ws", "wss"})
_CLAIM = re.compile(r"[!#-\[\]-~]{1,256}")
# Claims that have another meaning in every token.
_OTHER_CLAIMS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "scope", "scp"})
_COUNT = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How one sort of value is written. *example* completes "give … such as"."""

    name: str
    example: str
    read: Callable[[object], T]
    show: Callable[[T], str] = str
    # Never in a repr, an error or an output; and may come from a `TOCSIN_…_FILE`.
    secret: bool = False
    # Whether the word `none` says something here that not giving the setting does not.
    has_none: bool = False
    # All the words there are, if there are no others.
    words: tuple[str, ...] = ()


class Explicit(Enum):
    """A word that may be given on purpose, where not giving the setting means something else."""

    NONE = "none"


def read_text(raw: object) -> str:
    match raw:
        case str() if raw.strip():
            return raw
        case str():
            raise ValueError("is empty")
        case _:
            raise ValueError("is not text")


def read_count(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and _COUNT.fullmatch(raw.strip()):
        return int(raw)
    raise ValueError(f"is {raw!r}, which is not a whole number")


def read_duration(raw: object) -> float:
    """Seconds. Plain numbers are seconds; `90d`, `24h`, `5m`, `10s`, `500ms` say their unit."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        if math.isfinite(raw):
            return float(raw)
    elif isinstance(raw, str) and (match := _DURATION.fullmatch(raw.strip())):
        number, unit = match.groups()
        if unit == "ms":
            # Dividing is exact where multiplying by 0.001 is not: 550ms is 0.55, not 0.55000…01.
            return float(number) / 1000
        return float(number) * _DURATION_UNITS[unit or "s"]
    raise ValueError(f"is {raw!r}, which is not a duration")


def show_duration(seconds: float) -> str:
    """The largest unit in which the number is whole, so that what is shown can be read back."""
    if seconds == 0:
        return "0s"
    for unit, size in _DURATION_UNITS.items():
        amount = seconds / size
        if math.isclose(amount, round(amount), rel_tol=1e-12) and round(amount):
            return f"{round(amount)}{unit}"
    return f"{seconds:.15f}".rstrip("0").rstrip(".") + "s"


def read_size(raw: object) -> int:
    """Bytes. Plain numbers are bytes; `1MiB` and `64KiB` say their unit (powers of two only)."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and (match := _SIZE.fullmatch(raw.strip())):
        number, unit = match.groups()
        return int(number) * _SIZE_UNITS[unit or "B"]
    raise ValueError(f"is {raw!r}, which is not a size in bytes")


def show_size(size: int) -> str:
    for unit, factor in _SIZE_UNITS.items():
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return "0B"


def read_path(raw: object) -> Path:
    return Path(read_text(raw))


def read_list(raw: object) -> list[str]:
    """The items of a list in TOML, or of a text between commas."""
    if isinstance(raw, str):
        return [part.strip() for part in raw.split(",") if part.strip()]
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise ValueError("is not a list of texts")
    return raw


def read_hosts(raw: object) -> tuple[str, ...]:
    """Addresses and names to listen on, each once; IPv6 with or without its brackets."""
    hosts = [text.strip().removeprefix("[").removesuffix("]") for text in read_list(raw)]
    if not hosts or not all(hosts):
        raise ValueError("is empty")
    for host in hosts:
        if len(host) > 255 or not host.isprintable() or set(host) & set(" /@[]"):
            raise ValueError(f"has {host!r}, which is not an address or a name")
    return tuple(dict.fromkeys(hosts))


def read_networks(raw: object) -> tuple[Network, ...]:
    """Addresses, and networks in the form of CIDR (RFC 4632, RFC 4291 §2.3)."""
    return tuple(_read_network(text) for text in read_list(raw))


def show_networks(networks: tuple[Network, ...]) -> str:
    return ",".join(
        str(each.network_address) if each.num_addresses == 1 else str(each) for each in networks
    )


def _read_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        # Also one with bits behind its prefix: it may be meant as the address or as the network.
        wrong = f"has {text!r}, which is not an address, nor a network such as 10.0.0.0/8"
        raise ValueError(wrong) from None


def read_origins(raw: object) -> tuple[str, ...]:
    """Origins as browsers send them (RFC 6454): scheme, host, and a port if it is not the usual.

    Those of apps (`capacitor://localhost`) and of extensions have a scheme of their own.
    """
    return tuple(_read_origin(item) for item in read_list(raw))


def _read_origin(text: str) -> str:
    if "*" in text:
        wrong = "would let pages of others act for whoever looks at them; name each origin"
        raise ValueError(f"has {text!r}, which {wrong}")
    if text.lower() == "null":
        wrong = "is what sandboxed pages and local files of anybody say they come from"
        raise ValueError(f"has {text!r}, which {wrong}")
    match = _ORIGIN.fullmatch(text.lower())
    if match is None or match[1] in _NO_ORIGINS or split_address(text) is None:
        raise ValueError(f"has {text!r}, which is not an origin")
    scheme, host, port = match.groups()
    # Browsers leave the usual port out, so an origin that names it would never match.
    return f"{scheme}://{host}" + ("" if port in (None, _USUAL_PORTS.get(scheme)) else port)


def read_claim(raw: object) -> str:
    """The name of a claim at the top of a token; a dot or a slash in it is a letter like others."""
    text = read_text(raw).strip()
    if not _CLAIM.fullmatch(text):
        raise ValueError("is not 1 to 256 visible ASCII characters without quotes and backslashes")
    if text in _OTHER_CLAIMS:
        raise ValueError(f"is {text}, which says something else than who the user is")
    return text


def read_audience(raw: object) -> str | Explicit:
    text = read_text(raw)
    return Explicit.NONE if text.strip().lower() == Explicit.NONE.value else text


def show_audience(said: str | Explicit) -> str:
    return said.value if isinstance(said, Explicit) else said


def read_jwks_url(raw: object) -> str:
    text = read_text(raw)
    try:
        parts = urlsplit(text)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        raise ValueError("is not an address") from None
    # An attacker who can change these keys on their way can make a token for any user.
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValueError("is not an https:// address (http:// only for this machine)")
    return text


def read_collector(raw: object) -> str:
    text = read_text(raw)
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("is not an http:// or https:// address")
    return text


def show_jwks_url(text: str) -> str:
    """Without the query, which may hold a secret, and without user or password."""
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    shown = parts._replace(netloc=host, query="", fragment="").geturl()
    return shown + ("?…" if parts.query else "")


def read_database(raw: object) -> str:
    return check_database(read_text(raw))


def read_redis(raw: object) -> str:
    return check_redis(read_text(raw))


def read_public_key(raw: object) -> str:
    """The text of a PEM public key, from the text itself or from the file that it names."""
    text = read_text(raw)
    if not text.lstrip().startswith("-----BEGIN "):
        try:
            text = Path(text).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise ValueError(f"names the file {text!r}, which cannot be read: {reason}") from error
    if "PRIVATE KEY-----" in text:
        raise ValueError("is a private key; the server needs only the public one")
    if "PUBLIC KEY-----" not in text:
        raise ValueError("is not a public key in PEM form")
    return text


def choice(*words: str) -> Kind[str]:
    def read(raw: object) -> str:
        if isinstance(raw, str) and raw.strip().lower() in words:
            return raw.strip().lower()
        raise ValueError(f"is {raw!r}, which is not one of {', '.join(words)}")

    return Kind("|".join(words), " or ".join(words), read, words=words)


TEXT = Kind("text", "a text", read_text)
COUNT = Kind("count", "a whole number", read_count)
DURATION = Kind(
    "duration", "a duration such as 90d, 24h, 10s, 500ms or seconds", read_duration, show_duration
)
SIZE = Kind("size", "a size such as 1MiB, 64KiB or bytes", read_size, show_size)
PATH = Kind("path", "a path", read_path)
HOSTS = Kind("addresses", "an address such as 127.0.0.1, or several", read_hosts, ",".join)
NETWORKS = Kind(
    "networks",
    "addresses and networks such as 10.0.0.7,192.168.0.0/16",
    read_networks,
    show_networks,
)
ORIGINS = Kind(
    "origins",
    "origins such as https://app.example.com or capacitor://localhost",
    read_origins,
    ",".join,
)
CLAIM = Kind("text", "a claim's name such as email", read_claim)
AUDIENCE = Kind(
    "text",
    "the audience that the identity provider writes, or `none` if any will do",
    read_audience,
    show_audience,
    has_none=True,
)
JWKS_URL = Kind(
    "url",
    "an address such as https://id.example.com/jwks.json",
    read_jwks_url,
    show_jwks_url,
    secret=True,  # some providers want a key in its query
)
COLLECTOR = Kind(
    "url",
    "an address such as http://collector:4318/v1/traces",
    read_collector,
    show_jwks_url,
    secret=True,  # it may have a password in it
)
PUBLIC_KEY = Kind(
    "pem",
    "a PEM file's path, or its text",
    read_public_key,
    lambda text: f"PEM, {len(text)} characters",
)
SECRET = Kind("secret", "a secret", read_text, lambda _: MASK, secret=True)
SECRETS_KEYS = Kind(
    "secret",
    "32 bytes in base64, or several such keys separated by commas",
    read_secrets_keys,
    lambda _: MASK,
    secret=True,
)
DATABASE = Kind(
    "url",
    "postgres://user:password@host/name (special characters percent-encoded), "
    "postgresql://… or sqlite:///path/to/file.db",
    read_database,
    show_database,
    secret=True,
)
REDIS = Kind(
    "url",
    "redis://:password@host/number (special characters percent-encoded), "
    "or rediss://… for TLS, with ?ssl_ca_certs=/path/to/ca.pem if its authority is your own",
    read_redis,
    show_database,
    secret=True,
)


def is_loopback(host: str) -> bool:
    # Names other than this one are not looked up: their addresses can change after the check.
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
