"""Why a connection ends: one table, whose number says whether coming back helps.

40xx: the same client may come back, after the delay in `goodbye`. 44xx: something must change
first (RFC 6455 §7.4.2 leaves 4000-4999 to applications).
"""

from __future__ import annotations

from enum import IntEnum


class Closing(IntEnum):
    """A closing reason; its value is the WebSocket close code, its `word` the wire's `reason`."""

    DRAINING = 4000
    SLOW = 4001
    UNRESPONSIVE = 4002
    HEARTBEAT_LOST = 4003
    INTERNAL_ERROR = 4004
    OVERLOADED = 4005
    STORE_UNAVAILABLE = 4006
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    HELLO_TIMEOUT = 4408
    REPLACED = 4409
    DISCONNECTED = 4410
    TOO_MANY_DEVICES = 4411
    FRAME_TOO_LARGE = 4413
    RATE_LIMITED = 4429

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def reconnect(self) -> bool:
        """Whether the unchanged client may come back; rate limiting only needs its delay."""
        return self < 4400 or self is Closing.RATE_LIMITED
