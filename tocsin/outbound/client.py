"""The guarded HTTP client of a node, one for all that it sends to destinations that users name."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import trio

from tocsin.outbound.destination import parse_destination
from tocsin.outbound.resolving import Resolve, addresses_of, system_resolver
from tocsin.outbound.tls import client_context
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed
from tocsin.protocol.outbound_addresses import IpNetwork

if TYPE_CHECKING:
    from tocsin.outbound.pool import GuardedPool

POST_TIMEOUT: Final = 15.0
"""Seconds for a request in all, from the DNS to the end of the answer: Standard Webhooks asks for
15 to 30, and a receiver that drips must not hold a sink for ever."""
_CHECK_TIMEOUT: Final = 5.0
"""Seconds for the DNS when a URL is judged: a person waits."""
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity"}


class GuardedClient:
    """Implements `tocsin.protocol.outbound.OutboundPort`.

    *allowed* are the networks that the operator opens, *http_allowed* lets URLs be `http`. Neither
    httpcore nor certificates are loaded before the first request.
    """

    def __init__(
        self,
        allowed: Sequence[IpNetwork] = (),
        *,
        http_allowed: bool = False,
        resolve: Resolve | None = None,
        tls: Callable[[], ssl.SSLContext] = client_context,
        timeout: float = POST_TIMEOUT,
    ) -> None:
        self._allowed = allowed
        self._http_allowed = http_allowed
        self._resolve = resolve
        self._tls = tls
        self._timeout = timeout
        self._pool: GuardedPool | None = None

    async def check(self, url: str) -> None:
        """Judge *url* without a request; see `OutboundPort`."""
        destination = parse_destination(url, http_allowed=self._http_allowed)
        with trio.move_on_after(_CHECK_TIMEOUT):
            await addresses_of(destination.host, self._resolver(), self._allowed)
            return
        raise OutboundFailed("no_name", f"No name server answers for {destination.host}.")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """Send *body*, within 15 s in all; see `OutboundPort`."""
        destination = parse_destination(url, http_allowed=self._http_allowed)
        with trio.move_on_after(self._timeout):
            return await self._opened().post(destination, {**_HEADERS, **headers}, body)
        raise OutboundFailed("timeout", f"No whole answer came within {self._timeout:g} s.")

    async def aclose(self) -> None:
        """Close all connections, also if cancelled; never raises."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    def _resolver(self) -> Resolve:
        if self._resolve is None:
            self._resolve = system_resolver()
        return self._resolve

    def _opened(self) -> GuardedPool:
        if self._pool is None:
            from tocsin.outbound.pool import GuardedPool

            self._pool = GuardedPool(self._resolver(), self._allowed, self._tls())
        return self._pool
