"""Commands about a stream of Redis, with errors that say whose matter they are."""

from __future__ import annotations

from typing import Any, Final

from tocsin.persistence.bus import BusUnavailable
from tocsin.persistence.redis.client import Command, RedisClient, WrongKind
from tocsin.persistence.source import SourceAway, SourceRefused

TIMEOUT: Final = 5.0
"""Seconds for a command: longer than a read blocks."""
_REFUSED: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "AuthenticationError", "invalid username")


async def answered(client: RedisClient, stream: str, *commands: Command) -> list[Any]:
    """The replies to *commands* about *stream*. Raises `SourceAway` and `SourceRefused`.

    Cancelled, what was asked for may have been done.
    """
    try:
        return await client.call(*commands)
    except WrongKind as error:
        raise SourceRefused(f"{stream} is no stream") from error
    except BusUnavailable as error:
        text = str(error)
        if any(word in text for word in _REFUSED):
            raise SourceRefused("Redis does not take these credentials") from error
        raise SourceAway(text) from error
