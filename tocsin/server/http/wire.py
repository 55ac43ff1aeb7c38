"""The bytes of one connection: what was read and not used yet, and writes that end.

Reading and writing may go on in two tasks; two that read, or two that write, may not.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from tocsin.protocol.errors import DescribedError
from tocsin.server.lingering_close import read_to_end
from tocsin.server.socket_watch import Watch, watching

_READ_BYTES = 65536
"""Bytes read in one turn: a whole request as a rule, and a large body lets others have theirs."""
_WRITE_BYTES = 65536
"""Bytes written before others have their turn, where the client reads as fast as we write."""


class PeerGone(DescribedError):
    """The client does not take what is written: it has gone, or it reads too slowly."""


class Wire:
    """One stream's bytes. `data` is what was read and belongs to the next request or body;
    `heard_end` says that the client has closed its half, after which it may still read."""

    __slots__ = (
        "_number",
        "_socket",
        "_stream",
        "_watch",
        "_write_timeout",
        "broken",
        "data",
        "heard_end",
    )

    def __init__(self, stream: trio.SocketStream, write_timeout: float) -> None:
        self._stream = stream
        self._socket = stream.socket
        # Asking the socket for it costs a tenth of a health check. Once it is closed the number is
        # somebody else's, so it is forgotten, and whoever closes does it here.
        self._number = stream.socket.fileno()
        self._write_timeout = write_timeout
        self._watch: Watch | None = None
        self.data = b""
        self.heard_end = False
        self.broken = False

    def close(self) -> None:
        """Close the socket; whoever waits to read or write hears of it. Again is no harm."""
        self.end_watch()
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
        data = None
        while data is None:
            try:
                await trio.lowlevel.wait_readable(self._number)
            except (OSError, trio.ClosedResourceError):
                self.broken = self.heard_end = True
                return b""
            data = self.read_now(bytes_max)
        return data

    def read_now(self, bytes_max: int) -> bytes | None:
        """As `read`, without waiting; `None` if there is nothing yet."""
        try:
            data = os.read(self._number, bytes_max)
        except BlockingIOError:
            return None
        except OSError:
            self.broken = True
            data = b""
        if not data:
            self.heard_end = True
        return data

    def watch(self, ready: Callable[[], None]) -> None:
        """Have *ready* called whenever there is something to read, until `end_watch`.

        No task may `read` meanwhile. Raises `PeerGone` if the socket is closed.
        """
        if self._number < 0:
            raise PeerGone
        self._watch = watching().watch(self._number, ready)

    def end_watch(self) -> None:
        """Watch no more; again is no harm."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()

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

    def write_now(self, data: bytes) -> int:
        """Write as much of *data* as the socket takes at once, and return how many bytes that are.

        None, too, if the client has gone: the next `write` tells.
        """
        try:
            return os.write(self._number, data)
        except OSError:
            return 0

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
        self.data = b""  # no longer read, so it need not be held meanwhile
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
