"""From a name to the addresses that a request may go to."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from tocsin.protocol.outbound import OutboundFailed
from tocsin.protocol.outbound_addresses import ForbiddenAddress, IpNetwork, judge_address

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a name, as texts; raises `OSError`."""

ADDRESSES_MAX: Final = 4
"""Addresses of a name that are tried, one after another: each may take its time to fail."""
_LOOKUPS_MAX: Final = 8
"""Lookups under way at a time. Each holds a thread, for as long as a name server is silent, and the
threads of the store must not be among them."""


def system_resolver() -> Resolve:
    """A function that asks the system's resolver, with threads of its own.

    Cancelling it abandons the thread, which ends when the resolver answers.
    """
    limiter = trio.CapacityLimiter(_LOOKUPS_MAX)

    async def resolve(host: str) -> Sequence[str]:
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(ask, limiter=limiter, abandon_on_cancel=True)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    return resolve


async def addresses_of(host: str, resolve: Resolve, allowed: Sequence[IpNetwork]) -> list[str]:
    """The first addresses of *host*, if a request may go to all that it has.

    One bad address condemns the name: an attacker's name has a good one beside it, and the order
    is the attacker's. Raises `OutboundFailed`. Cancelling abandons the question to the DNS.
    """
    try:
        found = await resolve(host)
    except (OSError, UnicodeError):
        raise OutboundFailed("no_name", f"The name {host} has no address now.") from None
    try:
        good = [judge_address(each, allowed) for each in found]
    except ForbiddenAddress as error:
        raise OutboundFailed("forbidden_address", f"{host} leads inside: {error}.") from None
    if not good:
        raise OutboundFailed("no_name", f"The name {host} has no address now.")
    return good[:ADDRESSES_MAX]
