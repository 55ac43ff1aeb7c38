"""The outgoing half of a connection, as the actors see it: it takes values and never blocks.

A user's actor serves several devices and must never wait for one of them. So an outlet takes each
value at once, writes it in the way of its transport, buffers the bytes that the socket does not
take, and ends its own connection when they are too many (`slow`). Every transport has an outlet.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push

Transport = Literal["websocket", "sse", "poll"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse", "poll")


class Outlet(Protocol):
    """The writing side of one connection. No method blocks or raises, and none acts after `end`."""

    @property
    def connection(self) -> str:
        """The connection's name, unique on this node."""

    @property
    def transport(self) -> Transport:
        """How the device is connected."""

    @property
    def closing(self) -> Closing | None:
        """With what the session was ended; `None` while it goes on, or if the client left."""

    @property
    def last_heard(self) -> float:
        """When the peer was last heard (Trio time); infinite if it cannot be heard."""

    def hold(self) -> None:
        """Write nothing before `let_go`: what is said in one go can go out in one write."""

    def let_go(self) -> None:
        """Write what was held."""

    def begin(self, start: Cursor) -> None:
        """Tell the device that its session begins, or begins anew, at *start*."""

    def push(self, push: Push) -> None:
        """Send *push*, behind all that was sent before.

        The push changes later, so an outlet must not keep it.
        """

    def take_handed(self) -> int:
        """The sequence of the last push that the socket took in its turn, since it was asked; 0 for
        none. Only a stream says so: a WebSocket has answers, and a poll nothing that it takes."""

    def say(self, frame: frames.ServerFrame) -> None:
        """Send any other *frame*, behind all that was sent before."""

    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye and close; the device should stay away for *after* seconds.

        *detail* says what was wrong, where the closing alone does not; it quotes no secrets.
        """
