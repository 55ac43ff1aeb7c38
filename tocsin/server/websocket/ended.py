"""This side ends a WebSocket: with what, after which delay, and what was wrong."""

from __future__ import annotations

from tocsin.protocol.closing import Closing


class Ended(Exception):
    """This side ends the connection with *closing*; *after* in seconds.

    *detail* is for the client's developer, and goes into the goodbye: it must not quote secrets.
    """

    def __init__(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        super().__init__(f"{closing.word}: {detail}" if detail else closing.word)
        self.closing = closing
        self.after = after
        self.detail = detail
