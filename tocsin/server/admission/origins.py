"""Which web pages may open a socket, and by which names: ours, and those that are named.

A browser sends cookies and reaches local networks on behalf of any page, so a socket must look at
`Origin` itself (RFC 6455 §10.2); programs that are no browsers send none. And a page may have its
own name lead to this machine (DNS rebinding): to the browser the two are one origin then. The
sign of that is `Host`, in which the browser says the name that it believes.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from tocsin.server.request_head import Headers

_WEB: Final = frozenset({"http", "https"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,255})(?::[0-9]{0,5})?")


def is_allowed_origin(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """Whether the request's origin is none, ours (the `Host` it was sent to) or in *allowed*.

    The scheme of our own origin is not compared: a proxy may have taken off the TLS. Apps and
    extensions (`capacitor://localhost`) have none of ours, whatever they call their host.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    origin = origin.lower()
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _WEB:
        return origin in allowed
    if not parts.hostname or parts.path:
        return False
    default_port = 443 if parts.scheme == "https" else 80
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    full = name if port in {None, default_port} else f"{name}:{port}"
    if f"{parts.scheme}://{full}" in allowed:
        return True
    host = (headers.get("host") or "").lower().removesuffix(f":{default_port}")
    return host == full


def is_allowed_host(host: str | None, hosts: tuple[str, ...], origins: tuple[str, ...]) -> bool:
    """Whether a request may call this server by *host*, the value of its `Host`.

    *hosts* are what is listened on. Where others reach that too, the server cannot know how it is
    called, and what a page could reach by a name of its own, it can reach without one. Where it is
    only this machine, what a stranger's page cannot have will do: an address, a name of this
    machine, a name without a dot (of /etc/hosts, of a container), or the host of one of *origins*.
    A request without the header is from no browser. A node behind a proxy does not ask.
    """
    if host is None or not all(map(_is_this_machine, hosts)):
        return True
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name = match[1].removesuffix(".")
    if "." not in name or _address(name) is not None:
        return True
    return _is_this_machine(name) or any(_host_of(origin) == name for origin in origins)


def _host_of(origin: str) -> str:
    hostname = urlsplit(origin).hostname or ""
    return f"[{hostname}]" if ":" in hostname else hostname


def _is_this_machine(name: str) -> bool:
    """Whether *name* is loopback wherever it is looked up (RFC 6761 §6.3 for `localhost`)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
