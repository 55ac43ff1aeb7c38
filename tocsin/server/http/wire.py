"""The bytes of one connection: what was read and not used yet, and writes that end.

Reading and writing may go on in two tasks; two that read, or two that write, may not.
"""

from __future__ import annotations

import os

import trio

from tocsin.protocol.errors import DescribedError
from tocsin.server.lingering_close import read_to_end

_READ_BYTES = 65536
"""Bytes read in one turn: a whole request as a rule, and a large body lets others have theirs."""
_WRITE_BYTES = 65536
"""Bytes written before others have their turn, where the client reads as fast as we write."""


class PeerGone(DescribedError):
    """The client does not take what is written: it has gone, or it reads too slowly."""


class Wire:
    """One stream's bytes. `data` is what was read and belongs to the next request or body;
    `heard_end` says that the client has closed its half, after which it may still read."""

    __slots__ = ("_number", "_socket", "_stream", "_write_timeout", "broken", "data", "heard_end")

    def __init__(self, stream: trio.SocketStream, write_timeout: float) -> None:
        self._stream = stream
        self._socket = stream.socket
        # Asking the socket for it costs a tenth of a health check. Once it is closed the number is
        # somebody else's, so it is forgotten, and whoever closes does it here.
        self._number = stream.socket.fileno()
        self._write_timeout = write_timeout
        self.data = b""
        self.heard_end = False
        self.broken = False

    def close(self) -> None:
        """Close the socket; whoever waits to read or write hears of it. Again is no harm."""
        self._number = -1
        self._socket.close()

    async def read(self, bytes_max: int = _READ_BYTES) -> bytes:
        """The next bytes, *bytes_max* of them at most. `b""` is the client's end, also where the
        connection broke.

        Cancelling loses nothing.
        """
        if self.heard_end:
            return b""
        # Waiting first: there is nothing to read yet, nearly always, and a failed attempt costs
        # more than the wait.
        try:
            while True:
                await trio.lowlevel.wait_readable(self._number)
                try:
                    data = os.read(self._number, bytes_max)
                    break
                except BlockingIOError:
                    continue
        except (OSError, trio.ClosedResourceError):
            self.broken = True
            data = b""
        if not data:
            self.heard_end = True
        return data

    async def write(self, data: bytes) -> None:
        """Write all of *data*. Raises `PeerGone`, also when 64 KiB took longer than the time-out.

        A checkpoint only where the socket has no room. A write that was begun is finished, or the
        connection ends: cancelling takes effect behind it.
        """
        try:
            sent = os.write(self._number, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.broken = True
            raise PeerGone from None
        if sent < len(data):
            await self._write_rest(memoryview(data)[sent:])

    async def _write_rest(self, data: memoryview) -> None:
        try:
            for start in range(0, len(data), _WRITE_BYTES):
                # Shielded: Quart cancels a response in the middle (its time-out, a client that
                # goes), and half a write must not be followed by another.
                with trio.CancelScope(shield=True) as scope:
                    scope.deadline = trio.current_time() + self._write_timeout
                    await self._stream.send_all(data[start : start + _WRITE_BYTES])
                if scope.cancelled_caught:
                    self.broken = True
                    self.close()
                    raise PeerGone
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.broken = True
            raise PeerGone from None

    async def part(self, last_words: bytes, timeout: float) -> None:
        """Write *last_words*, wait until the client has read them or *timeout* seconds, and close.

        Raises nothing of the network's; cancelling closes at once.
        """
        self.data = b""  # what nobody reads any more need not be held meanwhile
        try:
            with trio.move_on_after(timeout):
                if last_words:
                    await self.write(last_words)
                if not self.heard_end:
                    await read_to_end(self._socket, timeout=timeout)
        except PeerGone:
            pass
        finally:
            self.close()
