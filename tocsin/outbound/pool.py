"""Connections that are made only to addresses that were judged, and requests over them.

httpcore asks its network backend for each connection, by name. Ours resolves the name itself,
judges every address, and has httpcore connect to the one that it judged: a second answer of the
DNS changes nothing (rebinding). TLS is begun by httpcore with the name, and verifies it. No
redirect is followed, no proxy of the environment is asked, no answer is unpacked.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import httpcore
import trio

from tocsin.outbound.destination import Destination
from tocsin.outbound.resolving import Resolve, addresses_of
from tocsin.outbound.tls import client_context
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed
from tocsin.protocol.outbound_addresses import IpNetwork

BODY_KEPT_MAX: Final = 1024
"""Bytes of an answer that are kept, for people to look at."""
_BODY_READ_MAX: Final = 16 * 1024
"""Bytes of an answer that are read: short ones to their end, so that the connection can be used
again. Longer ones cost a connection, and no more."""
_CONNECTIONS_MAX: Final = 64
"""Connections at a time; further requests wait, within their time."""
_KEPT_FOR: Final = 4.0
"""Seconds that an idle connection is kept: servers often drop theirs after five, and a request that
meets the end of its connection is one that failed."""


class JudgedNetwork(httpcore.AsyncNetworkBackend):
    """httpcore's way into the network, through the guard."""

    def __init__(self, resolve: Resolve, allowed: Sequence[IpNetwork]) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._network: Final = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of *host* that answers.

        Raises `OutboundFailed` if the name leads to a forbidden address or to none, and httpcore's
        `ConnectError`. The caller bounds the time; cancelled, nothing stays open.
        """
        failure: Exception | None = None
        for address in await addresses_of(host, self._resolve, self._allowed):
            try:
                return await self._network.connect_tcp(address, port)
            except httpcore.ConnectError as error:
                failure = error
        assert failure is not None, "addresses_of gives at least one"
        raise failure


class GuardedPool:
    """See the module. With *tls*, that context verifies receivers; without it the machine's."""

    def __init__(
        self, resolve: Resolve, allowed: Sequence[IpNetwork], tls: ssl.SSLContext | None = None
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or client_context(),
            max_connections=_CONNECTIONS_MAX,
            # Below the other bound, httpcore drops idle ones while requests wait for one.
            max_keepalive_connections=_CONNECTIONS_MAX,
            keepalive_expiry=_KEPT_FOR,
            network_backend=JudgedNetwork(resolve, allowed),
        )

    async def post(
        self, destination: Destination, headers: Mapping[str, str], body: bytes
    ) -> OutboundAnswer:
        """Send *body*; the caller bounds the time. Raises `OutboundFailed`.

        Cancelling drops the connection.
        """
        url = httpcore.URL(
            scheme=destination.scheme.encode(),
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        try:
            async with self._pool.stream(
                "POST", url, headers=list(headers.items()), content=body
            ) as response:
                return OutboundAnswer(response.status, _told(response), await _read(response))
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise _failure(error) from error
        except (httpcore.ProtocolError, httpcore.ConnectionNotAvailable) as error:
            raise OutboundFailed("not_http", "The answer is not HTTP, or ends early.") from error

    async def aclose(self) -> None:
        """Close all connections, also if cancelled."""
        await self._pool.aclose()


async def _read(response: httpcore.Response) -> bytes:
    body, kept = 0, b""
    # An excess is stopped from within, by cancelling the read that comes next: leaving the loop
    # would abandon httpcore's nested generators, with the connection, to the garbage collector.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_stream():
            body += len(chunk)
            kept += chunk[: BODY_KEPT_MAX - len(kept)]
            if body > _BODY_READ_MAX:
                reading.cancel()
    return kept


def _told(response: httpcore.Response) -> dict[str, str]:
    """Headers of the answer; of several with one name, the last."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }


def _failure(error: Exception) -> OutboundFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return OutboundFailed("tls", "TLS failed: the name or the certificate is not right.")
        cause = cause.__cause__ or cause.__context__
    return OutboundFailed("no_connection", "The receiver takes no connection, or dropped it.")
