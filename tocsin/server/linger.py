"""Closing a TCP connection so that the peer still reads our last words.

`close()` on a socket that holds unread bytes makes the kernel send RST instead of FIN, and a peer
that gets RST may throw away what it has not read yet: the goodbye, the 413, the 408. A server that
refuses has nearly always bytes unread, because it refuses in the middle of something. The remedy
is old (RFC 6455 §7.1.1, RFC 9112 §9.6, nginx's `lingering_close`): say that we have finished
(SHUT_WR), read and discard until the peer has finished too, then close. Bounded in time, not in
bytes: a peer that floods costs no more here than it could cost by flooding with valid input.
"""

import socket
from typing import Final

import trio

DISCARD_BYTES: Final = 65536


async def read_to_end(peer: trio.socket.SocketType, *, timeout: float) -> None:
    """Send FIN, then discard what comes until the peer's FIN or for `timeout` seconds.

    Does not close the socket, and raises nothing of the network's: a peer that is gone is what we
    wait for. A task that waits in a read or write of this socket gets `trio.ClosedResourceError`,
    since two tasks must not wait for the same direction. Cancelling stops the waiting.
    """
    with trio.move_on_after(timeout):
        try:
            trio.lowlevel.notify_closing(peer)
            peer.shutdown(socket.SHUT_WR)
            while await peer.recv(DISCARD_BYTES):
                pass
        except (OSError, trio.ClosedResourceError, trio.BusyResourceError):
            pass
