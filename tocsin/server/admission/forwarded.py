"""Whose request is it, when it comes through proxies?

A proxy that is trusted (`forwarded_from`) writes at the end of `X-Forwarded-For`, or of `Forwarded`
(RFC 7239), whom it got the request from. The part before that was written by that one, and is
believed only if that one is trusted too. So the headers are read from the right, up to the first
address that is not trusted: nothing that a client sends can change what comes out.

Where both headers come, `X-Forwarded-For` counts: nearly all proxies write that one, and hand on a
`Forwarded` as the client wrote it. A proxy that writes `Forwarded` has to take the other away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

HOPS_MAX: Final = 20
"""Proxies that a request may come through; what stands further left is not looked at."""
HOPS_LENGTH_MAX: Final = 2048
"""Characters at the end of a header in which they have to stand."""
HOP_LENGTH_MAX: Final = 128
"""Characters of one hop: an address and a port, which may be a made-up name."""
ADDRESSES_MAX: Final = 8192
"""Texts of addresses that are known without parsing them."""

_PORT: Final = re.compile(r":[0-9]{1,5}|:_[A-Za-z0-9._-]{1,64}|")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](.*)")


class Forwarding:
    """Reads the headers of requests that come through proxies of the *trusted* networks."""

    def __init__(self, trusted: Iterable[IPv4Network | IPv6Network] = ()) -> None:
        self._trusted = tuple(trusted)
        # The same few thousand addresses come again and again; parsing one costs microseconds.
        self._peer = lru_cache(ADDRESSES_MAX)(self._look_at_peer)
        self._hop = lru_cache(ADDRESSES_MAX)(self._look_at_hop)

    def client_address(self, peer: str, forwarded: str | None, x_forwarded_for: str | None) -> str:
        """The address of the client that made the request, as text in the usual form.

        *peer* is the other end of the connection; a header that came several times is given as one,
        joined by commas. If all hops are trusted, the answer is the first of them. A hop that is no
        address where a trusted proxy should have written one (`unknown`, an obfuscated name)
        leaves it at the *peer*.
        """
        if (forwarded is None and x_forwarded_for is None) or not self.is_trusted(peer):
            return peer
        client = peer
        for hop in _hops(forwarded, x_forwarded_for):
            seen = None if hop is None or len(hop) > HOP_LENGTH_MAX else self._hop(hop)
            if seen is None:
                return peer
            client, trusted = seen
            if not trusted:
                break
        return client

    def is_trusted(self, peer: str) -> bool:
        """Whether *peer* is a proxy whose headers are believed."""
        return bool(self._trusted) and self._peer(peer)

    def _look_at_peer(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and self._is_trusted(address)

    def _look_at_hop(self, hop: str) -> tuple[str, bool] | None:
        address = _node(hop)
        return None if address is None else (str(address), self._is_trusted(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _hops(forwarded: str | None, x_forwarded_for: str | None) -> Iterator[str | None]:
    """The nodes that requests came from, the nearest first; None where none is named."""
    if x_forwarded_for is not None:
        hops: Iterator[str | None] = _from_the_right(x_forwarded_for)
    elif forwarded is not None:
        hops = map(_for, _from_the_right(forwarded))
    else:
        return
    for _, hop in zip(range(HOPS_MAX), hops, strict=False):
        yield hop


def _from_the_right(header: str) -> Iterator[str]:
    """The elements of a list, the last one first; what is quoted is not split.

    From the right, so that a quote which the client opened and did not close takes nothing in of
    what proxies wrote behind it.
    """
    text = header[-HOPS_LENGTH_MAX:]
    end = position = len(text)
    quotes = 0
    while position > 0:
        comma = text.rfind(",", 0, position)
        if comma < 0 and len(header) > len(text):
            return  # cut in the middle
        quotes += text.count('"', comma + 1, position)
        position = comma
        if quotes % 2 == 0:
            if element := text[comma + 1 : end].strip(" \t"):
                yield element
            end = comma


def _for(element: str) -> str | None:
    """The value of `for` in an element of `Forwarded`:
    `for=192.0.2.60;proto=http;by=203.0.113.43`."""
    found = None
    for pair in element.split(";"):
        name, equals, value = pair.strip(" \t").partition("=")
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if not equals or '"' in value or "\\" in value:
            return None  # no address needs to be escaped
        if name.lower() == "for":
            if found is not None:
                return None
            found = value
    return found


def _node(text: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80` or `2001:db8::1`."""
    if bracketed := _BRACKETED.fullmatch(text):
        text, port = bracketed.groups()
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        port = ":" + port
    else:
        port = ""
    # A zone could be any text, and means nothing to others.
    if _PORT.fullmatch(port) is None or "%" in text:
        return None
    return _address(text)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
