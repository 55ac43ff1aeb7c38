"""The address of a Postgres, as providers write it, with the meaning of each option.

The names are libpq's (Postgres manual, "Connection Strings"). Each is honoured, or refused with a
sentence that says what to do; the driver would take an option it does not know for a setting of the
session, and fail at the first connection or, through a pooler, not at all.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlencode

MASK: Final = "********"
"""In the place of a secret, whatever its length."""

SESSION_SETTINGS: Final = frozenset(
    {
        "array_nulls",
        "client_encoding",
        "default_transaction_isolation",
        "enable_bitmapscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_seqscan",
        "idle_in_transaction_session_timeout",
        "jit",
        "lock_timeout",
        "plan_cache_mode",
        "standard_conforming_strings",
        "statement_timeout",
        "tocsin.footprints",
    }
)
"""Settings of the session that the store sets itself; its answers, and `store_timeout`, depend on
them."""

_TO_DRIVER: Final = frozenset(
    {
        *("passfile", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("target_session_attrs", "krbsrvname", "gsslib"),
    }
)
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_HOST: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
_OPTION_WORD: Final = re.compile(r"(?:\\.|[^\s\\])+")
_SETTING: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_ADVICE: Final = "a setting goes into options=-c%20name%3Dvalue"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """*dsn* is for the driver, *settings* are those of each session; times in seconds.

    A *connect_timeout* of `None` is that of the call; 0 of the others is the system's own.
    """

    dsn: str
    settings: Mapping[str, str]
    hosts: str
    database: str
    connect_timeout: float | None = None
    keepalives: bool = True
    keepalives_idle: int = 60
    keepalives_interval: int = 10
    keepalives_count: int = 3
    tcp_user_timeout: float | None = None


def show_postgres(text: str) -> str:
    """The address without user and password: which database it is, and not how to enter."""
    scheme, _, _ = text.partition("://")
    try:
        login, hosts, path, _ = _parts(text)
    except ValueError:
        return f"{scheme}://{MASK}"
    return f"{scheme}://{MASK + '@' if login else ''}{hosts}{path}"


def parse_postgres(text: str) -> PostgresAddress:
    """Read *text*; raises `ValueError` that says what is wrong, without a password in it."""
    login, hosts, path, query = _parts(text)
    options = _options(query)
    settings = {"application_name": options.pop("fallback_application_name", "tocsin")}
    if "application_name" in options:
        settings["application_name"] = options.pop("application_name")
    settings |= _session(options.pop("options", ""))
    user, _, password = login.partition(":")
    user = options.pop("user", unquote(user))
    password = options.pop("password", unquote(password))
    places = _places(options, hosts)
    database = options.pop("database", options.pop("dbname", unquote(path.removeprefix("/"))))
    for name, judge in _AGREED.items():
        if name in options:
            judge(options.pop(name))
    link = {name: read(name, options.pop(name)) for name, read in _LINK.items() if name in options}
    if unknown := sorted(options.keys() - _TO_DRIVER):
        raise ValueError(
            f"has the option {unknown[0][:40]!r}, which Tocsin does not know: leave it out; "
            f"{_ADVICE}"
        )
    _check_tls(options)
    _check_role(options, several="," in places)
    entry = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    if "," in places and "[" in places:
        # The driver takes addresses apart with `urlsplit`, see `_parts`.
        options["host"], places_said = places, ""
    else:
        places_said = places
    netloc = f"{entry}@{places_said}" if entry else places_said
    dsn = f"postgresql://{netloc}/{quote(database, safe='')}"
    if options:
        dsn += "?" + urlencode(options, quote_via=quote)
    return PostgresAddress(dsn, settings, places, database, **link)  # type: ignore[arg-type]


def _parts(text: str) -> tuple[str, str, str, str]:
    """Login, hosts, path and query. An `@` anywhere but before the hosts means that a password
    was not percent-encoded; taking it for something else would show a part of it.
    """
    # Not by `urlsplit`: newer releases of it refuse an IPv6 address that is one of several hosts.
    # As it does, this takes no account of the ends of lines that a file or a shell has left.
    rest, hash_, _ = re.sub(r"[\t\r\n]", "", text).partition("://")[2].partition("#")
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    login, _, hosts = netloc.rpartition("@")
    if hash_ or "@" in login + path + query:
        raise ValueError(
            "is not a well-formed address: @ : / ? # in a name or password are percent-encoded"
        )
    return login, hosts, slash + path, query


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in filter(None, query.split("&")):
        name, equals, value = each.partition("=")
        if not equals:
            raise ValueError(f"has the option {name[:40]!r} without a value")
        # Not as forms do it: a + is a +.
        found[unquote(name)] = unquote(value)
    return found


def _places(options: dict[str, str], hosts: str) -> str:
    """`host:port` of each host, in the form that the driver reads."""
    if "hostaddr" in options:
        raise ValueError("has the option 'hostaddr': give the address in the place of the host")
    if "host" in options:
        hosts = ",".join(map(_alone, options.pop("host").split(",")))
    ports = options.pop("port", "").split(",")
    found = []
    names = hosts.split(",")
    for number, each in enumerate(names):
        place = _HOST.fullmatch(each)
        port = (place and place["port"]) or (
            ports[number] if len(ports) == len(names) else ports[0]
        )
        if place is None or not place["host"] or not re.fullmatch(r"[0-9]{0,5}", port):
            raise ValueError("is not a well-formed address: a host, or its port, is not one")
        if int(port or 5432) not in range(1, 65536):
            raise ValueError(f"names the port {port}, which there cannot be")
        found.append(f"{place['host']}:{port or 5432}")
    return ",".join(found)


def _alone(host: str) -> str:
    """A *host* of the option of that name, without a port: an IPv6 address, a socket's
    directory."""
    if ":" in host and not host.startswith(("/", "[")):
        return f"[{host}]"
    return quote(host, safe="[:]" if host.startswith("[") else "")


def _session(options: str) -> dict[str, str]:
    """The settings that *options* (`-c name=value`, `--name=value`) are; the rest as it is."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in _OPTION_WORD.findall(options)]
    settings: dict[str, str] = {}
    rest = []
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            said = words.pop(0)
        elif word.startswith(("-c", "--")):
            said = word[2:]
        else:
            rest.append(word)
            continue
        setting = _SETTING.fullmatch(said)
        if setting is None:
            raise ValueError("has options that are not -c name=value")
        name = setting[1].lower().replace("-", "_")
        if name in SESSION_SETTINGS:
            raise ValueError(
                f"sets {name}, which Tocsin sets by itself (see store_timeout): leave it out"
            )
        settings[name] = setting[2]
    if rest:
        # A provider's own, such as Neon's endpoint=….
        settings["options"] = " ".join(re.sub(r"([\\\s])", r"\\\1", word) for word in rest)
    return settings


def _check_tls(options: dict[str, str]) -> None:
    mode = options.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise ValueError(f"has an sslmode that is none of {', '.join(_SSL_MODES)}")
    if options.get("sslrootcert") == "system":
        # As libpq: whom the system trusts has to be the host that was meant.
        trusted = (
            ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
        )
        if options.setdefault("sslmode", "verify-full") != "verify-full":
            raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
        options["sslrootcert"] = trusted
    for name in _FILES:
        if name in options and not os.access(options[name], os.R_OK):
            raise ValueError(f"{name} names the file {options[name]!r}, which cannot be read")
    if options.get("sslnegotiation", "postgres") not in ("postgres", "direct"):
        raise ValueError("has an sslnegotiation that is neither postgres nor direct")
    if options.get("sslnegotiation") == "direct" and _SSL_MODES.index(mode) < 3:
        raise ValueError("has sslnegotiation=direct, which needs sslmode=require or better")


def _check_role(options: dict[str, str], *, several: bool) -> None:
    """A node writes, so of several servers it wants the one that can be written to."""
    wanted = options.get("target_session_attrs", "any")
    if wanted not in ("any", "read-write", "primary"):
        raise ValueError(
            f"has target_session_attrs={wanted[:20]}, and Tocsin writes: say read-write or primary"
        )
    if several and wanted == "any":
        options["target_session_attrs"] = "read-write"


def _one_of(name: str, *allowed: str, remedy: str) -> Callable[[str], None]:
    def judge(value: str) -> None:
        if value.lower() not in allowed:
            raise ValueError(f"has {name}={value[:40]}, which cannot be had here: {remedy}")

    return judge


_AGREED: Final[Mapping[str, Callable[[str], None]]] = {
    "channel_binding": _one_of(
        "channel_binding",
        *("disable", "prefer"),
        remedy="the driver has none; say channel_binding=prefer, and sslmode=verify-full with "
        "sslrootcert to know the server",
    ),
    "client_encoding": _one_of(
        "client_encoding", "auto", "utf8", "utf-8", remedy="leave it out, it is UTF8"
    ),
    "gssencmode": _one_of(
        "gssencmode",
        *("disable", "prefer"),
        remedy="the driver has none; say gssencmode=prefer, and sslmode to encrypt",
    ),
    "sslcompression": _one_of("sslcompression", "0", remedy="leave it out"),
    "sslsni": _one_of("sslsni", "1", remedy="the driver always says the host's name; leave it out"),
    "load_balance_hosts": _one_of(
        "load_balance_hosts",
        "disable",
        remedy="nodes try the hosts in their order; leave it out",
    ),
    "replication": _one_of("replication", *("false", "off", "no", "0"), remedy="leave it out"),
    "require_auth": _one_of(
        "require_auth",
        remedy="the server decides (pg_hba.conf); leave it out",
    ),
    "service": _one_of("service", remedy="write the address out"),
}
"""Options that ask for what is so anyway, or for what cannot be had."""


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError(f"has a {name} that is no whole number")
    return int(value)


def _timeout(name: str, value: str) -> float | None:
    # libpq's: whole seconds, and 0 or less for as long as it takes, which here is the call's limit.
    return float(_whole(name, value)) or None if not value.startswith("-") else None


_LINK: Final[Mapping[str, Callable[[str, str], object]]] = {
    "connect_timeout": _timeout,
    "keepalives": lambda name, value: _whole(name, value) != 0,
    "keepalives_idle": _whole,
    "keepalives_interval": _whole,
    "keepalives_count": _whole,
    "tcp_user_timeout": lambda name, value: _whole(name, value) / 1000,
}
