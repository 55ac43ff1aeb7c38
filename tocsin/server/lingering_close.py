"""Closing a TCP connection so that the peer still reads our last words.

`close()` on a socket that holds unread bytes makes the kernel send RST instead of FIN, and a peer
that gets RST may throw away what it has not read yet: the goodbye, the 413, the 408. A server that
refuses has nearly always bytes unread, because it refuses in the middle of something. The remedy
is old (RFC 6455 §7.1.1, RFC 9112 §9.6, nginx's `lingering_close`): say that we have finished
(SHUT_WR), read and discard until the peer has finished too, then close. Bounded in time and in
bytes; and since a peer that floods goes on flooding here, those that do take turns.
"""

from __future__ import annotations

import socket
from typing import Final

import trio

from tocsin.server.turnstile import Turnstile

DISCARD_BYTES: Final = 65536
"""Bytes thrown away in one turn; all connections that end share the buffer."""
DISCARD_BYTES_MAX: Final = 32 << 20
"""Twice the largest body that a client may have begun to send before it reads why not."""

DISCARDING_MAX: Final = 2
"""Of the peers that go on flooding, those of whom is read in a turn, however many they are."""

_flooders: Final = Turnstile(DISCARDING_MAX)
# One for all: what is read into it is never looked at.
_discarded: Final = bytearray(DISCARD_BYTES)


async def read_to_end(
    peer: trio.socket.SocketType, *, timeout: float, bytes_max: int = DISCARD_BYTES_MAX
) -> None:
    """Send FIN, then discard what comes until the peer's FIN, for *timeout* seconds or *bytes_max*.

    Does not close the socket, and raises nothing of the network's: a peer that is gone is what we
    wait for. A task that waits in a read or write of this socket gets `trio.ClosedResourceError`,
    since two tasks must not wait for the same direction, and gets it again if it comes back to
    wait: to give way to it would be to close with bytes unread. Cancelling stops the waiting.
    """
    with trio.move_on_after(timeout):
        try:
            trio.lowlevel.notify_closing(peer)
            peer.shutdown(socket.SHUT_WR)
            left, count = bytes_max, 0
            while left > 0:
                try:
                    count = await _discard(peer, has_much=count == DISCARD_BYTES)
                except trio.BusyResourceError:
                    trio.lowlevel.notify_closing(peer)
                    continue
                if not count:
                    break
                left -= count
        except (OSError, trio.ClosedResourceError):
            pass


async def _discard(peer: trio.socket.SocketType, *, has_much: bool) -> int:
    if not has_much:
        return await peer.recv_into(_discarded)
    await trio.lowlevel.wait_readable(peer)
    with await _flooders.enter():
        return await peer.recv_into(_discarded)
