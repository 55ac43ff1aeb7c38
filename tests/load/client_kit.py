"""The far end of a client of the load, without a network."""

from __future__ import annotations

import asyncio
from typing import Any


class FakeTransport(asyncio.Transport):
    """Keeps what was written; *protocol* learns of its end at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.written = bytearray()
        self.ended = False

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self.written)
        self.written.clear()
        return taken

    def abort(self) -> None:
        if not self.ended:
            self.ended = True
            self._protocol.connection_lost(None)

    def close(self) -> None:
        self.abort()


def connected(protocol: asyncio.Protocol) -> FakeTransport:
    """*protocol* gets a connection; its far end."""
    transport = FakeTransport(protocol)
    protocol.connection_made(transport)
    return transport
