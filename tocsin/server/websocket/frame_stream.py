"""One WebSocket after its handshake: frames out without waiting, messages in, and polite parting.

`offer` writes a frame that was encoded once to the socket at once, without a lock, a task switch or
an await, so an actor can push to a hundred connections in one step. `listen` hands every message on
as soon as it is whole (`frame_reader`). Nearly always that costs its task nothing: the watch over
all idle sockets (`socket_watch`) has the frames read and handled, and wakes the task only for the
end, for an error, and for a client that has more to say than is handled in a turn.

Rules
- Whole writes never interleave, and what was begun is finished.
- After a close frame nothing more is sent (RFC 6455 §5.5.1): `offer` drops silently.
- On a stream that is closing or broken, `offer` drops silently. A frame offered to a dead
  connection is a frame lost in the network, which the protocol repairs anyway; whoever reads learns
  of the end, and a fan-out over many connections needs no `try` around each.
- One task reads, or has the watch read. It is the one that closes as well, so nobody else waits for
  the socket while the close lingers. If another one does close, the task hears of that.

How much may be said is bounded in three ways. Of one connection, so much is read and so many frames
are handled in a turn of the event loop. Of those that have more to say than that, a few go on in a
turn and the rest stand in a queue (`crowd`), so that a hundred of them make no longer turns than
four. And whoever keeps that up runs out of their `pace`.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import outcome
import trio

from tocsin.protocol.closing import Closing
from tocsin.server.lingering_close import read_to_end
from tocsin.server.socket_watch import Watch, watching
from tocsin.server.turnstile import Turnstile
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_reader import FrameReader, Reading
from tocsin.server.websocket.outbound import Outbound, SlowConsumer
from tocsin.server.websocket.pace import NEWCOMER, NEWCOMER_BYTES_MAX, Pace, PaceLimits
from tocsin.server.websocket.wire_frames import close_echo, pong_frame

RECEIVE_BYTES: Final = 4096
"""Bytes read in one turn, unless a large frame has begun, which costs little for its bytes."""
LINGER_TIMEOUT: Final = 2.0
"""Seconds: enough for our last words to cross the world and be answered."""
SLOW_DETAIL: Final = "More waited to be read than `outbound_bytes_max` of this server."

# Says that the peer has finished also where something unread stands before that; not everywhere.
_PEER_HAS_FINISHED: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

Received = Callable[[Any], None]
"""Takes a message: `str`, or `bytes` of a stream whose messages are binary."""


@dataclass(frozen=True, slots=True)
class FrameStreamStatistics:
    """*bytes_written* is what the kernel took, *pending_bytes* what waits for it."""

    bytes_written: int
    pending_bytes: int
    last_received: float
    writer_running: bool


class FrameStream:
    """The server's side of one upgraded connection.

    *early* is what was read behind the request's head: a client must not send before it was
    answered (RFC 6455 §4.1), but one that does is not punished. *nursery* runs the writer task. If
    it is cancelled, `aclose` can still write what waits.

    It begins as a newcomer's, with the little that one may say before its hello, until `admit`.
    Messages are text, unless they *are_binary*.
    """

    __slots__ = (
        "_closed",
        "_closing",
        "_crowd",
        "_early",
        "_finished",
        "_has_much",
        "_heard_end",
        "_kept",
        "_linger_timeout",
        "_outbound",
        "_reader",
        "_received",
        "_sleeper",
        "_socket",
        "_watch",
        "last_received",
        "pace",
    )

    def __init__(
        self,
        stream: trio.SocketStream,
        *,
        nursery: trio.Nursery,
        crowd: Turnstile,
        outbound_bytes_max: int,
        early: bytes = b"",
        message_bytes_max: int = NEWCOMER_BYTES_MAX,
        linger_timeout: float = LINGER_TIMEOUT,
        are_binary: bool = False,
    ) -> None:
        self._socket = stream.socket
        self._outbound = Outbound(self._socket, bytes_max=outbound_bytes_max, nursery=nursery)
        self._linger_timeout = linger_timeout
        self._crowd = crowd
        self._early = early
        bytes_max = min(message_bytes_max, NEWCOMER_BYTES_MAX)
        self._reader = FrameReader(bytes_max, are_binary=are_binary)
        self._kept: list[str | bytes] = []  # messages that came together with the first
        self._has_much = False
        self._finished = False  # a close frame is written or queued
        self._heard_end = False
        self._closing = False
        self._closed: trio.Event | None = None
        # While the watch reads: the task that has it do so, and who takes the messages.
        self._sleeper: trio.lowlevel.Task | None = None
        self._received: Received = _nobody
        self._watch: Watch | None = None
        self.last_received: float = trio.current_time()
        self.pace = Pace(NEWCOMER, self.last_received)

    @property
    def socket(self) -> trio.socket.SocketType:
        return self._socket

    @property
    def is_open(self) -> bool:
        """Will an offered frame be written? Not after a close frame, nor closing, nor broken."""
        return not (self._finished or self._closing or self._outbound.broken)

    def statistics(self) -> FrameStreamStatistics:
        out = self._outbound
        return FrameStreamStatistics(
            out.bytes_written, out.pending, self.last_received, out.writing
        )

    # --- Sending ---------------------------------------------------------------------------------

    def offer(self, data: bytes) -> None:
        """Send *data*, whole frames, without waiting.

        Raises `SlowConsumer` if more than `outbound_bytes_max` bytes would then wait. Nothing of
        *data* is sent in that case, except when nothing waited and the kernel took a part of it:
        then it stays whole, so that `finish` can still say why we part.
        """
        if not (self._finished or self._closing or self._outbound.broken):
            self._outbound.offer(data)

    def offer_soon(self, data: bytes) -> None:
        """As `offer`, but in one write with what else is offered before other tasks have run.

        A write costs more than all else about a small frame, but starting a task costs as much as
        one: this is for those that come by the dozen.
        """
        if not (self._finished or self._closing or self._outbound.broken):
            self._outbound.offer_soon(data)

    def hold(self) -> None:
        """Write nothing before `let_go`, which has to follow before other tasks run."""
        self._outbound.hold()

    def let_go(self) -> None:
        """Write what was held, in one write if the kernel takes it."""
        self._outbound.let_go()

    def finish(self, data: bytes, *, skip_waiting: bool = False) -> None:
        """Send *data*, which ends with a close frame, and nothing after it. Does not wait.

        The limit does not apply to these last words. With *skip_waiting* they overtake the frames
        that wait and were not begun, which are forgotten: a slow consumer learns sooner that it is
        one. A second call does nothing.
        """
        if not self.is_open:
            return
        if skip_waiting:
            self._outbound.forget_waiting()
        self._finished = True
        self._outbound.put(data)

    # --- Reading ---------------------------------------------------------------------------------

    def admit(self, limits: PaceLimits, message_bytes_max: int) -> None:
        """The client has said who it is, and may say more from here on."""
        self._reader.message_bytes_max = message_bytes_max
        self.pace.become(limits, trio.current_time())

    async def first_message(self) -> str | bytes | None:
        """Wait for the first message; none if the peer ends before it.

        Nothing more is read until `listen`, nor any ping answered. Raises `Ended` for what is not
        legal or too much. Cancelling loses nothing.
        """
        while not self._kept:
            if not await self._hear(self._kept.append):
                return None
        return self._kept.pop(0)

    async def listen(self, received: Received) -> None:
        """Hand every message to *received*, which must not raise, until the peer has ended.

        Raises `Ended` for an illegal frame, or too much. The peer's close is answered.
        Cancelling loses nothing that was not handed on.
        """
        kept, self._kept = self._kept, []
        for message in kept:
            received(message)
        del kept
        while await (self._hear(received) if self._has_more_now else self._have_heard(received)):
            pass

    def has_gone(self) -> bool:
        """Whether the peer has finished, as far as can be told without reading."""
        poll = select.poll()
        poll.register(self._socket.fileno(), _PEER_HAS_FINISHED)
        return bool(poll.poll(0))

    @property
    def _has_more_now(self) -> bool:
        """Whether there may be something to read without waiting for it."""
        return bool(self._early) or self._has_much or self._reader.has_more

    async def _have_heard(self, received: Received) -> bool:
        """Have the watch handle what comes, until there is much, or the peer has ended (False)."""
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError
        self._received = received
        self._sleeper = trio.lowlevel.current_task()
        self._watch = watching().watch(self._socket.fileno(), self._ready)
        goes_on: bool = await trio.lowlevel.wait_task_rescheduled(self._give_up)
        return goes_on

    def _ready(self) -> None:
        """Handle what there is for one turn; called by the watch."""
        try:
            goes_on = self._take(self._received)
        except Exception as error:
            self._wake(outcome.Error(error))
        else:
            if self._has_much or not goes_on:
                self._wake(outcome.Value(goes_on))

    def _wake(self, what: outcome.Outcome[bool]) -> None:
        """End the watch, and let the task go on with *what*; nothing if it does so already."""
        sleeper = self._end_watch()
        if sleeper is not None:
            trio.lowlevel.reschedule(sleeper, what)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._end_watch()
        return trio.lowlevel.Abort.SUCCEEDED

    def _end_watch(self) -> trio.lowlevel.Task | None:
        """End the watch, if there is one; the task that sleeps meanwhile."""
        sleeper, watch = self._sleeper, self._watch
        self._sleeper = self._watch = None
        self._received = _nobody
        if watch is not None:
            watch.end()
        return sleeper

    async def _hear(self, received: Received) -> bool:
        """Handle what there is for one turn, or wait for it; False when the peer has ended."""
        if not (self._early or self._reader.has_more):
            await trio.lowlevel.wait_readable(self._socket)
        had_much = self._has_much
        if not had_much:
            goes_on = self._take(received)
            if goes_on and self._has_much:
                await trio.lowlevel.checkpoint()  # the rest is for another turn
            return goes_on
        if self.pace.is_strained and self.has_gone():
            # It has flooded us and gone. The bytes in the kernel are megabytes of the same, and
            # nobody waits for an answer.
            return False
        with await self._crowd.enter():
            if not self._take(received):
                return False
            # The place is held to the end of the turn, which is what it is a share of.
            await trio.lowlevel.checkpoint()
        return True

    def _take(self, received: Received) -> bool:
        data = b""
        if not self._reader.has_more:
            try:
                data = self._receive()
            except BlockingIOError:
                return True  # it was there, they said
            if not data:
                self._heard_end = True
                return False
            self.last_received = trio.current_time()
        reading = self._reader.read(data)
        self._has_much = self._reader.has_more or len(data) >= RECEIVE_BYTES
        self.pace.spend(reading.frames, len(data), self.last_received)
        if reading.frames == 1:
            self._handle(reading, received)
        else:
            # Frames for it that come meanwhile go out in one write.
            self._outbound.hold()
            try:
                self._handle(reading, received)
            finally:
                self._outbound.let_go()
        if reading.wrong is not None:
            raise reading.wrong
        if reading.close is not None:
            self.finish(close_echo(reading.close))
            return False
        return True

    def _handle(self, reading: Reading, received: Received) -> None:
        if reading.pings:
            self._answer(reading.pings)
        for message in reading.messages:
            received(message)

    def _receive(self) -> bytes:
        """Some bytes, and none at the end; raises `BlockingIOError` if there is nothing now."""
        if self._early:
            data, self._early = self._early[:RECEIVE_BYTES], self._early[RECEIVE_BYTES:]
            return data
        try:
            return os.read(self._socket.fileno(), max(RECEIVE_BYTES, self._reader.missing))
        except BlockingIOError:
            raise
        except OSError:
            self._outbound.abandon()
            return b""

    def _answer(self, pings: list[bytes]) -> None:
        if self._outbound.pending:
            # §5.5.3: of several pings only the last need be answered. A client that does not read
            # its pongs is not sent more and more of them.
            pings = pings[-1:]
        try:
            self.offer(b"".join(map(pong_frame, pings)))
        except SlowConsumer:
            raise Ended(Closing.SLOW, SLOW_DETAIL) from None

    # --- Closing ---------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Write what waits, and close so that the peer can read it all.

        Takes at most `linger_timeout` seconds. If somebody is closing already, waits for that.
        Cancelling closes at once: what waits is lost, and perhaps also what the kernel holds.
        """
        first = not self._closing
        try:
            if first:
                await self._part()
            elif self._closed is not None:
                await self._closed.wait()
        finally:
            self._wake(outcome.Error(trio.ClosedResourceError()))
            self._socket.close()
            self._outbound.abandon()
            if self._closed is not None:
                self._closed.set()
        await trio.lowlevel.checkpoint()

    async def _part(self) -> None:
        self._closing, self._closed = True, trio.Event()
        self._wake(outcome.Error(trio.ClosedResourceError()))
        with trio.move_on_after(self._linger_timeout):
            await self._outbound.flush()
            if not (self._outbound.broken or self._heard_end):
                await read_to_end(self._socket, timeout=self._linger_timeout)


def _nobody(_: str | bytes) -> None:
    pass
