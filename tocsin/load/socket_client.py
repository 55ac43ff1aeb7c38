"""One WebSocket of a client that is as light as it can be made: of `tocsin load` and `./dev bench`.

It speaks just enough of RFC 6455 to be a fair peer: a real handshake, frames with a mask (of zeros,
which is legal and free), pongs. The CPU that clients do not use is left to what they load.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tocsin.load.wire import CLOSE, PING, PONG, TEXT, take_frames, text_frame

_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
"""The nonce of RFC 6455 §1.3: its answer is not checked, for the servers are ours."""


class SocketClient(asyncio.Protocol):
    """A connection to the server that is called *authority* in `Host`; it may be connected again.

    Frames are handed to the methods that a subclass defines.
    """

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._buffer = bytearray()
        self._upgraded = False
        self.transport: asyncio.Transport | None = None

    # --- For subclasses --------------------------------------------------------------------------

    def credential(self) -> str:
        """The credential of the next handshake."""
        raise NotImplementedError

    def opened(self) -> None:
        """The handshake is done: say hello."""
        raise NotImplementedError

    def refused(self, head: bytes) -> None:
        """The handshake was answered by *head*, which is no upgrade."""
        raise NotImplementedError

    def received(self, payload: bytes) -> None:
        """A text frame has come."""
        raise NotImplementedError

    # --- For all ---------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send a text frame; has no effect without a connection."""
        if self.transport is not None:
            self.transport.write(text_frame(payload))

    def abort(self) -> None:
        """Cut the connection without a word; again is no harm."""
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._buffer.clear()
        self._upgraded = False
        transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {self._authority}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n"
            f"Authorization: Bearer {self.credential()}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded and not self._upgrade():
            return
        for opcode, payload in take_frames(self._buffer):
            if opcode == TEXT:
                self.received(payload)
            elif self.transport is None:
                return
            elif opcode == PING:
                self.transport.write(PONG)
            elif opcode == CLOSE:
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None

    def _upgrade(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            self.refused(bytes(self._buffer[:end]))
            return False
        del self._buffer[: end + 4]
        self._upgraded = True
        self.opened()
        return True
