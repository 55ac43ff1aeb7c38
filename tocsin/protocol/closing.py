"""Why a connection ends: one table, whose number says whether coming back helps.

40xx: the same client may come back, after the delay in `goodbye`. 44xx: something must change
first (RFC 6455 §7.4.2 leaves 4000-4999 to applications).

All that is said of a reason is made of this table: the last words of the command-line client, the
problem of a long poll, the AsyncAPI document, `/docs` and the table in docs/protocol.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from tocsin.protocol import retry_after


class Closing(IntEnum):
    """A closing reason; its value is the WebSocket close code, its `word` the wire's `reason`.

    *text* tells people why, *advice* what the client should do. *after* is the delay in seconds
    where nothing better is known, 0 where coming back as before is of no use.
    """

    text: str
    advice: str
    after: float

    def __new__(cls, code: int, text: str = "", advice: str = "", after: float = 0.0) -> Self:
        self = int.__new__(cls, code)
        self._value_ = code
        self.text = text
        self.advice = advice
        self.after = after
        return self

    DRAINING = (
        4000,
        "The server is stopping.",
        "Come back after `after` seconds: another node, or the restarted one, takes over.",
        retry_after.SOON,
    )
    SLOW = (
        4001,
        "The client read too slowly: more than `outbound_bytes_max` waited to be sent.",
        "Come back after `after` seconds, and read faster.",
        retry_after.SOON,
    )
    UNRESPONSIVE = (
        4002,
        "A push was not acknowledged, however often it was sent.",
        "Come back after `after` seconds, and acknowledge what is pushed.",
        retry_after.SOON,
    )
    HEARTBEAT_LOST = (
        4003,
        "Nothing was heard from the client for too long; two pings were not answered.",
        "Come back after `after` seconds.",
        retry_after.SOON,
    )
    INTERNAL_ERROR = (
        4004,
        "An error inside the server; it is logged there.",
        "Come back after `after` seconds.",
        retry_after.SOON,
    )
    OVERLOADED = (
        4005,
        "The server has more to do than it can take.",
        "Come back after `after` seconds.",
        retry_after.SOON,
    )
    STORE_UNAVAILABLE = (
        4006,
        "The server's store does not answer now.",
        "Come back after `after` seconds.",
        retry_after.STORE_AWAY,
    )
    MALFORMED = (
        4400,
        "A frame was not what the protocol says.",
        "Mend the client; `detail` says what was wrong.",
    )
    UNAUTHENTICATED = (
        4401,
        "There was no token, or it is not accepted, or it has expired.",
        "Get another token.",
    )
    FORBIDDEN = (
        4403,
        "The token does not allow this.",
        "Use a token with the rights that this takes.",
    )
    HELLO_TIMEOUT = (4408, "No `hello` came in time.", "Say `hello` first.")
    REPLACED = (
        4409,
        "Another connection of the same device has taken over.",
        "Give each client a `device` of its own.",
    )
    DISCONNECTED = (
        4410,
        "An operator ended the connection.",
        "Stay away until a person wants to come back.",
    )
    TOO_MANY_DEVICES = (
        4411,
        "The name of the device is new, and the user has `user_devices_known_max` devices already.",
        "Use a known name, or remove a device: DELETE /v1/me/devices/{device}.",
    )
    FRAME_TOO_LARGE = (4413, "A frame was longer than frames may be.", "Send shorter frames.")
    RATE_LIMITED = (
        4429,
        "Too much in too little time; `detail` says which limit was reached.",
        "Come back after `after` seconds, and say less at a time.",
        retry_after.SOON,
    )

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def reconnect(self) -> bool:
        """Whether the unchanged client may come back; rate limiting only needs its delay."""
        return self < 4400 or self is Closing.RATE_LIMITED
