"""Telling a WebSocket that this node cannot take it, in the way that its client can hear.

Browsers show a page nothing of a handshake that was refused, so that a client would not know
whether and when to come back. So the handshake is completed, and what is said on the WebSocket is
goodbye.
"""

from __future__ import annotations

from typing import Final

import trio

from tocsin.protocol.closing import Closing
from tocsin.server.lingering_close import read_to_end
from tocsin.server.request_head import RequestHead
from tocsin.server.websocket.codec import codec_of
from tocsin.server.websocket.handshake import chosen, switching_protocols

TIMEOUT: Final = 2.0
"""Seconds for all of it."""
DISCARD_BYTES_MAX: Final = 256 * 1024
"""Bytes read and thrown away: a client turned away may have said hello, and not much more."""


async def turn_away(
    stream: trio.SocketStream,
    head: RequestHead,
    rest: bytes,
    closing: Closing,
    after: float,
    detail: str = "",
) -> None:
    """Complete the handshake of *head*, say goodbye with *closing*, and close the stream.

    *head* was judged by `upgrade.check_upgrade`; *rest* is what was read behind it, which is
    not looked at. *after* is in seconds. Takes two seconds and no tasks; raises nothing of the
    network's. Cancelling closes at once.
    """
    try:
        with trio.move_on_after(TIMEOUT):
            farewell = codec_of(chosen(head)).farewell(closing, after, detail)
            await stream.send_all(switching_protocols(head) + farewell)
            bytes_max = DISCARD_BYTES_MAX - len(rest)
            await read_to_end(stream.socket, timeout=TIMEOUT, bytes_max=bytes_max)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        pass
    finally:
        stream.socket.close()
