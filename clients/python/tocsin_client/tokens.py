"""Tokens: where they come from, and when they end."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tocsin_client.follower import REFRESH_BEFORE

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"
"""A token, or a function that gives one, asynchronous or not; it is called for each connection."""


async def token_of(source: TokenSource) -> str:
    """A token of *source*, which alone knows what cancelling does to it."""
    if isinstance(source, str):
        return source
    token = source()
    return token if isinstance(token, str) else await token


def lifetime(token: str) -> float:
    """Seconds until *token* ends, as far as it says: only a JWT does.

    One of less than a minute is given more, so that it is renewed after half of its time. By a
    clock that is wrong, a token may seem to have ended: it is renewed when the server refuses it.
    """
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        left = float(claims["exp"]) - time.time()
    except (IndexError, KeyError, TypeError, ValueError):
        return math.inf
    return max(left, left / 2 + REFRESH_BEFORE) if left > 0 else math.inf
