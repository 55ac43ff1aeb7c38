"""Calls of aiormq from Trio, in time, with errors that say whose matter they are."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiormq
import trio
import trio_asyncio

from tocsin.persistence.brokers.loops import close_in_order, connector_loop
from tocsin.persistence.brokers.tls import tls_of
from tocsin.persistence.brokers.wording import described
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.source import SourceAway, SourceRefused

T = TypeVar("T")

_HEARTBEAT: Final = 10
"""Seconds between two heartbeats; a broker that hangs is noticed after three or four."""
_FRAMES: Final = 256
"""Frames of a channel that are read ahead: with aiormq's ten, two tasks take turns all the time. A
channel's prefetch bounds the messages in them."""
_TIMEOUT: Final = 10.0
"""Seconds for an answer of the broker."""
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds for closing in order; a broker that hangs is left without it."""


@asynccontextmanager
async def open_channel(
    url: str, faults: LoopFaults, *, ca_file: str | None = None, confirms: bool = False
) -> AsyncIterator[aiormq.Channel]:
    """A channel to the broker at *url*, on a connection and in an asyncio loop of its own.

    *ca_file* names an authority's certificate, if it is none that the system knows. With *confirms*
    the broker confirms what is published. Raises `SourceAway` and `SourceRefused`.
    """
    async with connector_loop(faults):
        separator = "&" if "?" in url else "?"
        # Kept before it is connected, so that it is closed whatever happens.
        connection = aiormq.Connection(
            f"{url}{separator}heartbeat={_HEARTBEAT}",
            context=None if ca_file is None else tls_of(ca_file),
        )
        try:
            await answered(connection.connect)
            channel = await answered(
                connection.channel, publisher_confirms=confirms, frame_buffer_size=_FRAMES
            )
            assert isinstance(channel, aiormq.Channel)
            yield channel
        finally:
            await close_in_order(connection.close, _CLOSE_TIMEOUT)


async def answered(call: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
    """The answer to *call* of aiormq, from Trio. Raises `SourceAway` and `SourceRefused`.

    Cancelled, what was asked for may have been done.
    """
    try:
        with trio.fail_after(_TIMEOUT):
            answer: T = await trio_asyncio.aio_as_trio(call)(*arguments, **options)
            return answer
    except trio.TooSlowError:
        raise SourceAway(f"the broker did not answer within {_TIMEOUT:g} s") from None
    except _REFUSALS as error:
        raise SourceRefused(described(error)) from error
    except aiormq.AMQPConnectionError as error:
        # aiormq wraps what the connection's making has raised.
        if isinstance(cause := error.__cause__, ssl.SSLCertVerificationError):
            raise SourceRefused(f"TLS: {cause.verify_message}") from error
        raise SourceAway(described(error)) from error
    except (aiormq.AMQPError, OSError, EOFError, RuntimeError) as error:
        raise SourceAway(described(error)) from error


_REFUSALS: Final = (
    aiormq.exceptions.ProbableAuthenticationError,
    aiormq.exceptions.AuthenticationError,
    aiormq.exceptions.ChannelAccessRefused,
    aiormq.exceptions.ChannelNotFoundEntity,
    aiormq.exceptions.ChannelLockedResource,
    aiormq.exceptions.ChannelPreconditionFailed,
)
"""Errors that an operator has to mend."""
