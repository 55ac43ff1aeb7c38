"""The outgoing half of a connection, as the actors see it: values in, nothing blocks.

A user actor serves several devices and must never wait for one of them. So an outlet takes what
there is to say at once, writes it as its transport does, keeps what the socket does not take, and
ends its own connection when that is too much (`slow`). Every transport has one.
"""

from __future__ import annotations

from typing import Protocol

from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.push import Push


class Outlet(Protocol):
    """One connection's way out. No method blocks or raises; after the end they do nothing."""

    @property
    def connection(self) -> str:
        """The connection's name, unique on this node."""

    @property
    def last_heard(self) -> float:
        """When the peer was last heard (Trio time); infinite if only its absence can be noticed."""

    def begin(self, start: Cursor) -> None:
        """A session begins, or begins anew, at *start*."""

    def push(self, push: Push) -> None:
        """Send *push* after what came before it; it changes later, so it must not be kept."""

    def say(self, frame: frames.ServerFrame) -> None:
        """Send one of the other frames, in the same order."""

    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye and close; *after* is the delay in seconds before coming back helps.

        *detail* says what was wrong, where the closing alone does not; it quotes no secrets.
        """
