"""The network between clients and nodes: connections that are slow, that stall, and that break.

A *pipe* is one direction of a connection: things put into it arrive in order and after a delay, or
not at all. A *connection* is two pipes and the knowledge of each end: a break can be noticed by
both ends, by one, or by neither until a heartbeat is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import trio

from simulation.world.chance import Chance
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.server.door.limits import USER_TIMEOUT
from tocsin.server.websocket.outbound import SlowConsumer

_KERNEL_BYTES: Final = 64 << 10
"""Bytes that the kernels of both ends buffer while the client does not read."""

_RESET_DELAY: Final = 0.02
"""Seconds until a client hears of the reset that its packet has provoked."""
_KEEPALIVE: Final = 90.0
"""Seconds after which a client's kernel gives up a connection on which nothing comes back."""

Arrival = Callable[[Any, float], object]
"""Called with a thing that arrives, and the time at which it was sent."""


class Pipe:
    """One direction of a connection.

    *delay* is the shortest delay in seconds; a random part of up to as much is added.
    """

    __slots__ = ("_arrived", "_chance", "_delay", "_last", "_stalls", "_timeline", "held", "is_cut")

    def __init__(self, timeline: Timeline, chance: Chance, delay: float, arrived: Arrival) -> None:
        self._timeline = timeline
        self._chance = chance
        self._delay = delay
        self._arrived = arrived
        self._last = 0.0
        self.held: deque[tuple[Any, float]] = deque()
        self._stalls = 0
        self.is_cut = False

    @property
    def stalled(self) -> bool:
        return self._stalls > 0

    def put(self, what: Any) -> None:
        """Send *what*."""
        if not self.is_cut:
            now = self._timeline.now
            due = now + self._delay * (1.0 + self._chance.random())
            self._last = due = max(due, self._last)
            self._timeline.at(due, self._arrive, what, now)

    def stall(self) -> None:
        """Deliver nothing until `resume`, and lose nothing; each `stall` needs its own `resume`."""
        self._stalls += 1

    def resume(self) -> None:
        self._stalls -= 1
        if self.held and not self._stalls:
            self._timeline.at(self._timeline.now, self._catch_up)

    def cut(self) -> None:
        """Lose all that is under way, and all that is put in later."""
        self.is_cut = True
        self.held.clear()

    def _arrive(self, what: Any, sent_at: float) -> None:
        if self.is_cut:
            return
        if self._stalls or self.held:
            self.held.append((what, sent_at))
        else:
            self._arrived(what, sent_at)

    def _catch_up(self) -> None:
        while self.held and not self._stalls:
            self._arrived(*self.held.popleft())


class Connection:
    """A connection of a client to a process of a node.

    The client's side is `say` and `leave`; it is called back through *heard* with each thing that
    arrives, and through *ended* after the last. The node's side is a
    `tocsin.server.websocket.outlet.FrameSink`, with `serve` to receive; until `serve` is called,
    things that arrive wait as they would in a kernel.

    With *kernel_gives_up* the node learns of a silent break from its kernel, by the bytes that go
    unacknowledged. Without, a proxy before the node goes on taking them, and only a heartbeat that
    goes unanswered tells.
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
        kernel_gives_up: bool = False,
    ) -> None:
        delay = 0.001 + 0.02 * chance.random() ** 2
        self._process = process
        self._timeline = timeline
        self._outbound_bytes_max = outbound_bytes_max
        self._on_end = ended
        self._has_ended = False
        self._up = Pipe(timeline, chance, delay, self._up_arrived)
        self._down = Pipe(timeline, chance, delay, self._down_arrived)
        self._heard = heard
        self.is_held = True
        """Whether the node may believe it open: it neither ended it nor learned of its end."""
        self._is_finished = False
        self._resets = False
        self._kernel_gives_up = kernel_gives_up
        self._waiting = 0
        self._moved = trio.lowlevel.ParkingLot()
        self.last_received = timeline.now
        self._received: Callable[[Any], object] | None = None
        self._left: Callable[[], object] = lambda: None
        self._early: list[tuple[Any, Callable[[], object] | None]] = []

    # --- The client's side -----------------------------------------------------------------------

    def say(self, what: Any, arrived: Callable[[], object] | None = None) -> None:
        """Send *what* to the node; *arrived* is called when the node has received it."""
        if self._resets:
            self._timeline.after(_RESET_DELAY, self._ended)
        self._up.put((what, arrived))

    def leave(self) -> None:
        """Close the connection; the node notices after it has received all that was said."""
        self._down.cut()
        self._up.put((_END, None))
        self._ended()

    # --- The node's side -------------------------------------------------------------------------

    def serve(
        self, *, received: Callable[[Any], object] | None = None, left: Callable[[], object]
    ) -> None:
        """Call *received* with each thing that arrives, and *left* when the client has closed."""
        self._received, self._left = received or (lambda what: None), left
        early, self._early = self._early, []
        for what, arrived in early:
            self._hand(what, arrived)

    def offer(self, data: bytes) -> None:
        """Send *data*. Raises `SlowConsumer` if too many bytes wait."""
        if self._is_finished or self._process.is_dead:
            return
        if self._down.is_cut and self.is_held and self._kernel_gives_up:
            self._kernel_gives_up = False
            self._timeline.after(USER_TIMEOUT, self._process.enter, self._take, (_END, None))
        if self._down.stalled or self._down.is_cut:
            if self._waiting + len(data) > _KERNEL_BYTES + self._outbound_bytes_max:
                raise SlowConsumer("the connection stalls")
            self._waiting += len(data)
        self._down.put(data)

    def offer_soon(self, data: bytes) -> None:
        """As `offer`: a connection of the simulation has no packets to fill."""
        self.offer(data)

    def hold(self) -> None:
        """Nothing, for the same reason."""

    def let_go(self) -> None:
        """Nothing, for the same reason."""

    def finish(self, data: Any, *, skip_waiting: bool = False) -> None:
        """Send *data*, if there is any, and then end the connection."""
        if self._is_finished or self._process.is_dead:
            return
        self._is_finished = True
        self.is_held = False
        if skip_waiting:
            self._down.held.clear()
        if data:
            self._down.put(data)
        self._down.put(_END)

    @property
    def is_taken(self) -> bool:
        """Whether the bytes offered have left the node, up to what kernels buffer."""
        return self._waiting < _KERNEL_BYTES

    async def wait_taken(self) -> None:
        """Wait until `is_taken`; cancelling it changes nothing."""
        if self.is_taken:
            await trio.lowlevel.checkpoint()
        while not self.is_taken:
            await self._moved.park()

    # --- Faults ----------------------------------------------------------------------------------

    def stall(self) -> None:
        """Deliver nothing to the client, as it does not read; each call needs its own `resume`."""
        self._down.stall()

    def resume(self) -> None:
        self._down.resume()
        if not self._down.stalled:
            self._waiting = 0
            self._moved.unpark_all()

    def freeze(self) -> None:
        """Deliver nothing in either direction until `thaw`."""
        self._up.stall()
        self.stall()

    def thaw(self) -> None:
        self._up.resume()
        self.resume()

    def cut(self, *, client_notices: bool, node_notices: bool) -> None:
        """Break the connection; all that is under way is lost."""
        self._up.cut()
        self._down.cut()
        if node_notices:
            self._process.enter(self._take, (_END, None))
        # A node that has closed the connection answers later packets with a reset.
        self._resets = node_notices
        if client_notices:
            self._ended()
        else:
            self._timeline.after(_KEEPALIVE, self._ended)

    def give_up(self) -> None:
        """Let the client's kernel learn that the connection is cut; no effect if it is not."""
        if self._up.is_cut:
            self._ended()

    # --- Inside ----------------------------------------------------------------------------------

    def _ended(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end()

    def _up_arrived(self, what: Any, _: float) -> None:
        self._process.enter(self._take, what)

    def _take(self, said: tuple[Any, Callable[[], object] | None]) -> None:
        self.last_received = self._timeline.now
        if self._received is None:
            self._early.append(said)
        else:
            self._hand(*said)

    def _hand(self, what: Any, arrived: Callable[[], object] | None) -> None:
        if self._is_finished:
            return
        if arrived is not None:
            arrived()
        if what is _END:
            self.is_held = False
            self._left()
        elif self._received is not None:
            self._received(what)

    def _down_arrived(self, what: Any, sent_at: float) -> None:
        if what is _END:
            self._ended()
        else:
            self._heard(what, sent_at)


_END: Final = object()
