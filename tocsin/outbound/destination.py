"""A URL that a user named, taken apart and judged as far as its text goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tocsin.protocol.outbound import OutboundFailed

URL_CHARACTERS_MAX: Final = 2048
"""Characters of a URL: what proxies and servers take without a thought."""
_PRIVILEGED_PORTS_MAX: Final = 1023
"""Ports up to here are system services (RFC 6335); of these only the web's two are destinations."""
_PORT_MAX: Final = 65535  # sixteen bits
_WEB_PORTS: Final = {"http": 80, "https": 443}

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}")
"""A name after IDNA, or an address; nothing that was percent-encoded to pass for one."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes; names as ASCII (IDNA), IPv6 without brackets."""

    scheme: str
    host: str
    port: int
    target: str


def parse_destination(url: str, *, http_allowed: bool) -> Destination:
    """*url* taken apart; raises `OutboundFailed` (`forbidden_url`) for a form that is not sent to.

    With *http_allowed* it may also be `http`: the body then travels in the clear.
    """
    if len(url) > URL_CHARACTERS_MAX:
        raise _forbidden(f"has more than {URL_CHARACTERS_MAX} characters")
    # Imported with the first request: most nodes send none.
    import httpx

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise _forbidden("is not a URL") from None
    if parsed.scheme not in (("http", "https") if http_allowed else ("https",)):
        raise _forbidden("does not begin with https://")
    host, target = parsed.raw_host.decode("ascii"), parsed.raw_path.decode("ascii")
    if not _HOST.fullmatch(host) or parsed.fragment:
        raise _forbidden("has no host, or has a fragment")
    if parsed.userinfo:
        raise _forbidden("holds a user name or password; those would end up in logs")
    port = parsed.port or _WEB_PORTS[parsed.scheme]
    if port > _PORT_MAX:
        raise _forbidden("names a port that does not exist")
    if port <= _PRIVILEGED_PORTS_MAX and port not in _WEB_PORTS.values():
        raise _forbidden(f"names port {port}, where a system service listens and not a receiver")
    return Destination(parsed.scheme, host, port, target)


def _forbidden(wrong: str) -> OutboundFailed:
    return OutboundFailed("forbidden_url", f"The URL {wrong}.")
