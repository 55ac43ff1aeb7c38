"""Where the load goes: an address, and credentials for as many users as it takes."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: *token* makes a user's token, *producer* is the credential of the posts."""

    host: str
    port: int
    tls: bool
    token: Callable[[str], str]
    producer: str

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Open a connection. Raises `OSError`."""
        context = ssl.create_default_context() if self.tls else None
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, self.host, self.port, ssl=context
        )


def parse_target(url: str) -> tuple[str, int, bool]:
    """Host, port and whether it is TLS. Raises `ValueError` with a sentence."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address of a server, such as http://127.0.0.1:8080")
    tls = parts.scheme == "https"
    return parts.hostname, parts.port or (443 if tls else 80), tls


def is_this_machine(host: str) -> bool:
    """Whether *host* is a name of this machine: others are loaded only when they are named."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
