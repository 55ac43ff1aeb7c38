"""The network between devices and nodes: connections that are slow, that stall, that break.

A *pipe* is one direction of a connection: what is put into it comes out in order, after a while, or
not at all. A *connection* is two pipes and what each end knows: a break is noticed by both, by one,
or by nobody until the heartbeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import trio

from simulation.chance import Chance
from simulation.scheduling import Process
from simulation.timeline import Timeline
from tocsin.server.frame_stream import SlowConsumer

_KERNEL_BYTES: Final = 64 << 10
"""What the kernels at both ends take of what nobody reads."""

Arrival = Callable[[Any, float], object]
"""Is given what arrives, and when it was sent."""


class Pipe:
    """One direction; *delay* in seconds, the least, with as much again by chance."""

    __slots__ = ("_arrived", "_chance", "_delay", "_last", "_timeline", "held", "is_cut", "stalled")

    def __init__(self, timeline: Timeline, chance: Chance, delay: float, arrived: Arrival) -> None:
        self._timeline = timeline
        self._chance = chance
        self._delay = delay
        self._arrived = arrived
        self._last = 0.0
        self.held: deque[tuple[Any, float]] = deque()
        self.stalled = False
        self.is_cut = False

    def put(self, what: Any) -> None:
        """Send *what*; if the pipe stalls it waits here."""
        now = trio.current_time()
        if self.is_cut:
            return
        if self.stalled:
            self.held.append((what, now))
        else:
            self._send(what, now)

    def stall(self) -> None:
        """Nothing moves any more, and nothing is lost."""
        self.stalled = True

    def resume(self) -> None:
        self.stalled = False
        while self.held:
            self._send(*self.held.popleft())

    def cut(self) -> None:
        """What is on its way is lost, and all that is put in."""
        self.is_cut = True
        self.held.clear()

    def _send(self, what: Any, sent_at: float) -> None:
        due = trio.current_time() + self._delay * (1.0 + self._chance.random())
        self._last = due = max(due, self._last)
        self._timeline.at(due, self._arrive, what, sent_at)

    def _arrive(self, what: Any, sent_at: float) -> None:
        if self.is_cut:
            return
        if self.stalled:
            self.held.append((what, sent_at))
        else:
            self._arrived(what, sent_at)


class Connection:
    """One connection of a client to a node's process.

    The client's side: `say`, `leave`, and *heard* for what comes, *ended* when there is nothing
    more to come. The node's side is a `tocsin.server.websocket_outlet.FrameSink`, and `received`,
    `left` are set by whoever serves it there.
    """

    def __init__(
        self,
        timeline: Timeline,
        chance: Chance,
        process: Process,
        *,
        outbound_bytes_max: int,
        heard: Arrival,
        ended: Callable[[], object],
    ) -> None:
        delay = 0.001 + 0.02 * chance.random() ** 2
        self._process = process
        self._outbound_bytes_max = outbound_bytes_max
        self._ended = ended
        self._up = Pipe(timeline, chance, delay, self._up_arrived)
        self._down = Pipe(timeline, chance, delay, self._down_arrived)
        self._heard = heard
        self._is_finished = False
        self._waiting = 0
        self.last_received = trio.current_time()
        self.on_message: Callable[[str], None] | None = None
        self.received: Callable[[Any], object] = lambda what: None
        self.left: Callable[[], object] = lambda: None

    # --- The client's side -----------------------------------------------------------------------

    def say(self, what: Any) -> None:
        """Send *what* to the node."""
        self._up.put(what)

    def leave(self) -> None:
        """Close the connection; the node notices when all that was said has come."""
        self._down.cut()
        self._up.put(_END)

    # --- The node's side -------------------------------------------------------------------------

    def offer(self, data: bytes) -> None:
        """Send *data*; raises `SlowConsumer` if too much waits."""
        if self._is_finished or self._process.is_dead:
            return
        if self._down.stalled:
            if self._waiting + len(data) > _KERNEL_BYTES + self._outbound_bytes_max:
                raise SlowConsumer("the connection stalls")
            self._waiting += len(data)
        self._down.put(data)

    def offer_soon(self, data: bytes) -> None:
        """As `offer`: what is offered together arrives together anyway."""
        self.offer(data)

    def finish(self, data: Any, *, skip_waiting: bool = False) -> None:
        """Send *data*, if there is any, and then the end."""
        if self._is_finished or self._process.is_dead:
            return
        self._is_finished = True
        if skip_waiting:
            self._down.held.clear()
        if data:
            self._down.put(data)
        self._down.put(_END)

    @property
    def is_taken(self) -> bool:
        """Whether what was offered has left the node."""
        return self._waiting < _KERNEL_BYTES

    # --- What happens to it ----------------------------------------------------------------------

    def stall(self) -> None:
        """Nothing comes to the client any more: it does not read, or the network does not move."""
        self._down.stall()

    def resume(self) -> None:
        self._waiting = 0
        self._down.resume()

    def cut(self, *, client_notices: bool, node_notices: bool) -> None:
        """It breaks; what is on its way is lost."""
        self._up.cut()
        self._down.cut()
        if node_notices:
            self._process.enter(self.left)
        if client_notices:
            self._ended()

    # --- Inside ----------------------------------------------------------------------------------

    def _up_arrived(self, what: Any, _: float) -> None:
        self._process.enter(self._take, what)

    def _take(self, what: Any) -> None:
        self.last_received = trio.current_time()
        if what is _END:
            self.left()
        else:
            self.received(what)

    def _down_arrived(self, what: Any, sent_at: float) -> None:
        if what is _END:
            self._ended()
        else:
            self._heard(what, sent_at)


_END: Final = object()
