"""An outlet that notes what comes out."""

from __future__ import annotations

import trio

from tocsin.actors.delivery.outlet import Transport
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push


class FakeOutlet:
    """The way out of a connection that is not there; see `tocsin.actors.delivery.outlet.Outlet`."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self.transport: Transport = "websocket"
        self.began: list[Cursor] = []
        self.pushes: list[bytes] = []
        """As they were when they were pushed: a push changes when it is sent again."""
        self.holds = 0
        self.writes: list[int] = []
        """How many pushes there were whenever something that was held went out."""
        self.said: list[frames.ServerFrame] = []
        self.pings = 0
        self.takes_at_once = False
        self._handed = 0
        self.last_heard = 0.0
        self.ended = trio.Event()
        self.ends: list[tuple[Closing, float, float]] = []
        """With what, after which delay, and when."""

    @property
    def connection(self) -> str:
        return self._connection

    @property
    def closing(self) -> Closing | None:
        return self.ends[0][0] if self.ends else None

    def hold(self) -> None:
        self.holds += 1

    def let_go(self) -> None:
        assert self.holds > 0
        self.holds -= 1
        self.writes.append(len(self.pushes))

    def begin(self, start: Cursor) -> None:
        self.began.append(start)

    def push(self, push: Push) -> None:
        self.pushes.append(frames.encode_push(push))
        if self.takes_at_once:
            self._handed = push.sequence

    def take_handed(self) -> int:
        handed, self._handed = self._handed, 0
        return handed

    def say(self, frame: frames.ServerFrame) -> None:
        self.said.append(frame)

    def ping(self) -> None:
        self.pings += 1

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        self.ends.append((closing, after, trio.current_time()))
        self.ended.set()
