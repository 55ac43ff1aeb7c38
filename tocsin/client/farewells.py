"""Why a connection ended, for the person in front of it, and whether coming back is any use."""

from __future__ import annotations

from typing import Final

from tocsin.protocol.closing import Closing

_TEXTS: Final = {
    Closing.DRAINING: "The server is stopping.",
    Closing.SLOW: "The server gave up: this side read too slowly.",
    Closing.UNRESPONSIVE: "The server gave up: pushes were not acknowledged.",
    Closing.HEARTBEAT_LOST: "The server has not heard from this side for too long.",
    Closing.INTERNAL_ERROR: "Something broke in the server.",
    Closing.OVERLOADED: "The server has too much to do.",
    Closing.STORE_UNAVAILABLE: "The server's store is away.",
    Closing.MALFORMED: "The server could not read what this side sent.",
    Closing.UNAUTHENTICATED: "The server does not accept the token, or it has expired.",
    Closing.FORBIDDEN: "The token is not good for this.",
    Closing.HELLO_TIMEOUT: "The server did not get to hear this side's hello.",
    Closing.REPLACED: (
        "Another connection has taken the place of this one, as the same device, {device}. "
        "Give one of them another name with --device."
    ),
    Closing.DISCONNECTED: "An operator has disconnected this user.",
    Closing.TOO_MANY_DEVICES: (
        "The server knows as many devices of this user as there may be, and {device} is none of "
        "them. Remove one (DELETE /v1/me/devices/…), or come as one that is known, with --device."
    ),
    Closing.FRAME_TOO_LARGE: "The server found a frame of this side too large.",
    Closing.RATE_LIMITED: "The server was asked too much at once.",
}


def farewell_text(code: int | None, device: str) -> str:
    """What close *code* means."""
    closing = _closing(code)
    if closing is None:
        return "The connection was lost."
    return _TEXTS[closing].format(device=device)


def may_reconnect(code: int | None) -> bool:
    """Whether an unchanged client may come back after close *code*."""
    closing = _closing(code)
    return closing is None or closing.reconnect


def _closing(code: int | None) -> Closing | None:
    """None for what is no word of ours: a proxy's, or a socket that just ended."""
    return None if code is None or code not in set(Closing) else Closing(code)
