"""This side ends a WebSocket: with what, after which delay, and what was wrong."""

from __future__ import annotations

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refused, refusal_for


class Ended(Refused):
    """This side ends the connection with *closing*; *after* in seconds, by default the reason's.

    *detail* is for the client's developer, and goes into the goodbye: it must not quote secrets.
    """

    def __init__(self, closing: Closing, detail: str = "", after: float | None = None) -> None:
        super().__init__(refusal_for(closing, detail, after))
