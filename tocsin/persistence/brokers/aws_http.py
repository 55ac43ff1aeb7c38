"""Requests to services of AWS: bounded in bytes, with errors that say whose matter they are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final, Self

import httpcore
import trio

from tocsin.persistence.brokers.wording import described
from tocsin.persistence.source import SourceAway, SourceRefused

FORBIDDEN: Final = 403  # the status (RFC 9110 §15.5.4)
TOO_MANY: Final = 429  # the status (RFC 6585 §4)
SERVER_FAULT: Final = 500
"""The HTTP status from which on the fault is the service's."""


async def ask(
    pool: httpcore.AsyncConnectionPool,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    bytes_max: int,
) -> tuple[int, bytes]:
    """The status and the body of an answer, of at most *bytes_max*; redirects are not followed.

    Raises `SourceAway`, and `SourceRefused` for a certificate that nobody vouches for. Cancelling
    drops the connection: bound the time outside.
    """
    headers = {**headers, "content-length": str(len(body))}
    try:
        async with pool.stream(
            method, url, headers=list(headers.items()), content=_Body(body)
        ) as response:
            return response.status, await _read(response, bytes_max)
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpcore.ConnectionNotAvailable,
    ) as error:
        raise _failure(error) from error


class _Body:
    """A body for httpcore, which makes a generator of bytes: cancelled while it is sent, that would
    be left to the garbage collector, of which Trio complains.
    """

    def __init__(self, body: bytes) -> None:
        self._left = [body]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def _read(response: httpcore.Response, bytes_max: int) -> bytes:
    body = bytearray()
    # An excess is stopped by cancelling the read that comes next; see `outbound.pool`.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > bytes_max:
                reading.cancel()
    if len(body) > bytes_max:
        raise SourceAway(f"the answer exceeds {bytes_max} bytes")
    return bytes(body)


def _failure(error: Exception) -> SourceAway | SourceRefused:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return SourceRefused(f"TLS: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    return SourceAway(described(error))
