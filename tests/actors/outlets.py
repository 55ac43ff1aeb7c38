"""An outlet that notes what comes out."""

from __future__ import annotations

import trio

from tocsin.protocol.closing import Closing


class FakeOutlet:
    """The way out of a connection that is not there; see `tocsin.actors.outlet.Outlet`."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self.frames: list[bytes] = []
        self.pings = 0
        self.last_heard = 0.0
        self.ended = trio.Event()
        self.ends: list[tuple[Closing, float, float]] = []
        """With what, after which delay, and when."""

    @property
    def connection(self) -> str:
        return self._connection

    def offer(self, frame: bytes) -> None:
        self.frames.append(frame)

    def ping(self) -> None:
        self.pings += 1

    def end(self, closing: Closing, after: float = 0.0) -> None:
        self.ends.append((closing, after, trio.current_time()))
        self.ended.set()
