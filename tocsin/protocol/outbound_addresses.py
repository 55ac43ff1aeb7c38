"""Which addresses a request of the node's own may go to, where a user named the destination.

A webhook's URL comes from outside, and the node stands inside: on its own machine, beside the
database, and where a cloud keeps the machine's credentials. So only addresses that the whole
internet reaches are allowed, and networks that the operator opens.

`ipaddress.is_global` alone does not do. It differs between Python 3.11 and 3.13, says yes to
`fec0::/10`, and judges an IPv6 address without the IPv4 address that a gateway finds in it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from tocsin.protocol.errors import DescribedError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4_BITS: Final = 32  # bits of an address
_IPV6_BITS: Final = 128  # bits of an address
_EMBEDDED: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 96),  # mapped (RFC 4291 §2.5.5.2)
    (ipaddress.IPv6Network("::/96"), 96),  # compatible (§2.5.5.1)
    (ipaddress.IPv6Network("64:ff9b::/96"), 96),  # NAT64 (RFC 6052)
    (ipaddress.IPv6Network("2002::/16"), 16),  # 6to4 (RFC 3056)
)
"""Networks whose addresses hold an IPv4 address, and the bit at which it begins."""
_CLOSED: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "64:ff9b:1::/48",  # NAT64 of a site (RFC 8215): nothing says where the IPv4 address stands
        "2001::/32",  # Teredo (RFC 4380)
        "fec0::/10",  # site-local (RFC 3879)
    )
)
"""Networks that `is_global` does not close on every Python."""
_METADATA: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("169.254.0.0/16", "fe80::/10"),  # link-local, and the credentials of most clouds
        *("fd00:ec2::254", "fd20:ce::254"),  # AWS, Google
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),  # Alibaba, Azure, Oracle
    )
)
"""Networks that stay closed unless the operator names them, or a part of them."""


class ForbiddenAddress(DescribedError):
    """The address is not one of the internet, and the operator has not opened it.

    *address* is its text, as it was found.
    """

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is not an address that this node may send to")
        self.address = address


def judge_address(text: str, allowed: Sequence[IpNetwork] = ()) -> str:
    """The address in *text*, in its usual form and without a zone, if a request may go there.

    *allowed* are the networks that the operator opens. Raises `ForbiddenAddress`, and `ValueError`
    if *text* is not an address.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if not _is_allowed(address, allowed):
        raise ForbiddenAddress(text)
    return str(address)


def _is_allowed(address: IpAddress, allowed: Sequence[IpNetwork]) -> bool:
    if metadata := next((each for each in _METADATA if _holds(each, address)), None):
        allowed = [each for each in allowed if _is_within(each, metadata)]
    if any(_holds(network, address) for network in allowed):
        return True
    if metadata is not None or any(_holds(network, address) for network in _CLOSED):
        return False
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)):
        return _is_allowed(inner, allowed)
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in *address*, if a gateway or the kernel would find one."""
    for network, begin in _EMBEDDED:
        if address in network:
            behind = _IPV6_BITS - begin - _IPV4_BITS
            return ipaddress.IPv4Address((int(address) >> behind) & 0xFFFFFFFF)
    return None


def _holds(network: IpNetwork, address: IpAddress) -> bool:
    return network.version == address.version and address in network


def _is_within(inner: IpNetwork, outer: IpNetwork) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
