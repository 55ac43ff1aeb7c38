"""Why the server ends a connection, and whether an unchanged client may come back.

The table of docs/protocol.md. 40xx: the same client may come back; 44xx: something must change
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        4000: "draining",
        4001: "slow",
        4002: "unresponsive",
        4003: "heartbeat_lost",
        4004: "internal_error",
        4005: "overloaded",
        4006: "store_unavailable",
        4400: "malformed",
        4401: "unauthenticated",
        4403: "forbidden",
        4408: "hello_timeout",
        4409: "replaced",
        4410: "disconnected",
        4411: "too_many_devices",
        4413: "frame_too_large",
        4429: "rate_limited",
    }
)
UNAUTHENTICATED: Final = 4401  # the close code
_RATE_LIMITED: Final = 4429  # the close code
_FIRST: Final = 4000  # the first close code of the server's own
_FIRST_FINAL: Final = 4400
"""The first close code after which something must change before the client comes back."""
_BEYOND: Final = 4500
"""Codes from here on are no longer the server's."""


def reason_of(code: int | None, said: str | None = None) -> str:
    """The reason behind close *code*, that a later server may have *said* with it; `lost` for one
    that is not the server's own: a proxy's, or that of a socket that just ended."""
    if code is None or not _FIRST <= code < _BEYOND:
        return "lost"
    return REASONS.get(code) or said or "lost"


def may_reconnect(code: int | None) -> bool:
    """Whether an unchanged client may come back after close *code*."""
    return code is None or not _FIRST_FINAL <= code < _BEYOND or code == _RATE_LIMITED
