"""The outgoing half of a connection, as the actors see it: frames in, nothing blocks.

A user actor serves several devices and must never wait for one of them. So an outlet takes a frame
at once, keeps what the socket does not take, and ends its own connection when that is too much
(`slow`). Every transport has one.
"""

from __future__ import annotations

from typing import Protocol

from tocsin.protocol.closing import Closing


class Outlet(Protocol):
    """One connection's way out. No method blocks or raises."""

    @property
    def connection(self) -> str:
        """The connection's name, unique on this node."""

    @property
    def last_heard(self) -> float:
        """When the peer was last heard (Trio time)."""

    def offer(self, frame: bytes) -> None:
        """Send *frame* (JSON text) after those before it; dropped once the connection ends."""

    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    def end(self, closing: Closing, after: float = 0.0) -> None:
        """Say goodbye and close; *after* is the delay in seconds before coming back helps."""
