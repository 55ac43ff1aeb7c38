"""The stream under trio-websocket: ours, so that we may send without waiting, and part politely.

trio-websocket wants a stream to read from and to write its control frames to. This one adds
`offer`: a frame that was encoded once goes to the socket at once, without a lock, a task switch or
an await. That is five times faster than `send_message`, and it lets an actor push to a hundred
connections in one step. The other way round, `on_message` is called with a plain message as soon
as it is read, past trio-websocket, which sees the stream without it (`frame_reader`).

Rules
- Whole writes never interleave, and what was begun is finished. A `send_all` that is cancelled is
  not taken back: its bytes stay in the queue. To break the connection instead would cost a client
  its connection because of a time-out on our side; the framing is as safe either way.
- After a close frame nothing more is sent (RFC 6455 §5.5.1): `offer` and `send_all` drop silently.
- On a stream that is closed, closing or broken, `offer` drops silently. A frame offered to a dead
  connection is a frame lost in the network, which the protocol repairs anyway; whoever reads learns
  of the end, and a fan-out over many connections needs no `try` around each.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import trio

from tocsin.server.frame_reader import FrameReader
from tocsin.server.linger import read_to_end
from tocsin.server.outbound import Outbound, SlowConsumer
from tocsin.server.websocket_frames import close_code_and_reason, is_close_frame

__all__ = ["CLOSED_WITHOUT_A_FRAME", "FrameStream", "FrameStreamStatistics", "SlowConsumer"]

OUTBOUND_BYTES_MAX: Final = 1 << 20
MESSAGE_BYTES_MAX: Final = 16 * 1024
RECEIVE_BYTES: Final = 4096
LINGER_TIMEOUT: Final = 2.0  # seconds: enough for our last words to cross the world and be answered

CLOSED_WITHOUT_A_FRAME: Final = 1006  # RFC 6455 §7.1.5: what a peer reports that got no close frame

# trio-websocket echoes the code with which a client closes, so the code alone does not say whose
# close it is; these words do. (A client that finds *our* frame too big says 1009 as well.)
_OWN_REASONS: Final = {1009: b"Exceeded maximum message size"}

_HEAD_END: Final = b"\r\n\r\n"
_SWITCHING_PROTOCOLS: Final = b"HTTP/1.1 101 "


@dataclass(frozen=True, slots=True)
class FrameStreamStatistics:
    """`bytes_written` is what the kernel took, `pending_bytes` what waits for it."""

    bytes_written: int
    pending_bytes: int
    last_received: float
    writer_running: bool


class FrameStream(trio.abc.Stream):
    """The server's side of one upgraded connection.

    `prefix` is what was read of the connection before: the request head and anything behind it.
    What is behind it is withheld, and the socket not read, until the head is answered. A client
    must not send before that (RFC 6455 §4.1), and wsproto leaves the frames of one that does lying
    until it sends more.

    `translate_close` replaces trio-websocket's own close frames: code → bytes to write instead,
    usually a goodbye and our own close frame. It closes with 1009 if a message is too big. In every
    other error of the peer (bad UTF-8, unmasked, reserved bits, unknown opcode) it closes the
    stream and sends nothing, whatever code it reports to us. The peer would see 1006, so
    `CLOSED_WITHOUT_A_FRAME` is the key for what to say then. Echoes of the peer's own close pass.

    `nursery` runs the writer task. If it is cancelled, `aclose` can still write what waits.

    `on_message` may be set at any time, if there was a `prefix`: otherwise nobody here knows where
    the first frame begins. It must not raise. Of a message of more than `message_bytes_max` bytes
    trio-websocket is told, which refuses it.
    """

    __slots__ = (
        "_answered",
        "_closed",
        "_closing",
        "_finished",
        "_heard_end",
        "_linger_timeout",
        "_outbound",
        "_prefix",
        "_reader",
        "_socket",
        "_translate_close",
        "_unanswered_bytes",
        "_upgraded",
        "last_received",
        "on_message",
    )

    def __init__(
        self,
        stream: trio.SocketStream,
        *,
        nursery: trio.Nursery,
        prefix: bytes = b"",
        outbound_bytes_max: int = OUTBOUND_BYTES_MAX,
        translate_close: Mapping[int, bytes] = MappingProxyType({}),
        linger_timeout: float = LINGER_TIMEOUT,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        self._socket = stream.socket
        self._outbound = Outbound(self._socket, bytes_max=outbound_bytes_max, nursery=nursery)
        self._translate_close = translate_close
        self._linger_timeout = linger_timeout
        self._prefix = prefix
        # How much of the prefix may be read before the head is answered; unset when it is.
        end = prefix.find(_HEAD_END)
        self._unanswered_bytes = len(prefix) if end < 0 else end + len(_HEAD_END)
        self._answered = trio.Event() if prefix else None
        self._reader = FrameReader(message_bytes_max) if prefix else None
        self.on_message: Callable[[str], None] | None = None
        self._upgraded = False
        self._finished = False  # a close frame is written or queued
        self._heard_end = False
        self._closing = False
        self._closed: trio.Event | None = None
        self.last_received: float = trio.current_time()

    @property
    def socket(self) -> trio.socket.SocketType:
        return self._socket

    @property
    def pending_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._outbound.pending

    @property
    def is_open(self) -> bool:
        """Will an offered frame be written? Not after a close frame, nor closing, nor broken."""
        return not (self._finished or self._closing or self._outbound.broken)

    def statistics(self) -> FrameStreamStatistics:
        out = self._outbound
        return FrameStreamStatistics(
            out.bytes_written, out.pending, self.last_received, out.writing
        )

    def offer(self, data: bytes) -> None:
        """Send `data`, whole frames, without waiting.

        Raises `SlowConsumer` if more than `outbound_bytes_max` bytes would then wait. Nothing of
        `data` is sent in that case, except when nothing waited and the kernel took a part of it:
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

    def finish(self, data: bytes, *, skip_waiting: bool = False) -> None:
        """Send `data`, which ends with a close frame, and nothing after it. Does not wait.

        The limit does not apply to these last words. With `skip_waiting` they overtake the frames
        that wait and were not begun, which are forgotten: a slow consumer learns sooner that it is
        one. A second call does nothing.

        This is the way to close, rather than `WebSocketConnection.aclose`: after that, wsproto
        raises `LocalProtocolError` in trio-websocket's reader when a ping comes in.
        """
        if not self.is_open:
            return
        if skip_waiting:
            self._outbound.forget_waiting()
        self._finished = True
        self._outbound.put(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` behind everything that waits, and wait until the kernel has all of it.

        Not bounded by `outbound_bytes_max`: who waits cannot flood. Cancelling stops the waiting,
        not the sending. Raises `trio.ClosedResourceError` and `trio.BrokenResourceError` as every
        stream does.
        """
        await trio.lowlevel.checkpoint()
        self._check_usable()
        if self._finished:
            return
        data = bytes(data)
        if not self._upgraded:
            self._upgraded = data.startswith(_SWITCHING_PROTOCOLS)
        if self._answered is not None:
            self._answered.set()
            self._answered = None
        if is_close_frame(data):
            self._finished = True
            data = self._translated(data)
        self._outbound.put(data)
        await self._outbound.wait_written()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until nothing waits any more."""
        await trio.lowlevel.checkpoint()
        self._check_usable()
        await self._outbound.wait_written()

    def _check_not_closing(self) -> None:
        if self._closing:
            raise trio.ClosedResourceError("this stream was closed")

    def _check_usable(self) -> None:
        self._check_not_closing()
        if self._outbound.broken:
            raise trio.BrokenResourceError("the peer is gone")

    def _translated(self, close: bytes) -> bytes:
        said = close_code_and_reason(close)
        if said is None:
            return close
        code, reason = said
        ours = reason.startswith(_OWN_REASONS.get(code, b""))
        return self._translate_close.get(code, close) if ours else close

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes for trio-websocket; `b""` is the peer's end. `last_received` says when.

        Cancelling loses nothing. Raises `trio.BrokenResourceError` if the connection broke and
        `trio.ClosedResourceError` if we closed it.
        """
        limit = max_bytes or RECEIVE_BYTES
        while True:
            self._check_not_closing()
            data = await self._receive(limit)
            if not data or not self._upgraded or self._reader is None:
                return data
            messages, data = self._reader.read(data, cut=self.on_message is not None)
            if self.on_message is not None:
                for message in messages:
                    self.on_message(message)
            if data:
                return data

    async def _receive(self, limit: int) -> bytes:
        if self._prefix or self._answered is not None:
            data = await self._receive_prefix(limit)
            if data:
                return data
        try:
            data = await self._read(limit)
        except OSError as exc:
            self._check_not_closing()
            if exc.errno == errno.EBADF:  # closed under our hands, by the front door's guard
                raise trio.ClosedResourceError("this stream was closed") from None
            self._outbound.abandon()
            raise trio.BrokenResourceError(str(exc)) from exc
        self.last_received = trio.current_time()
        if not data:
            if self._outbound.broken:
                # The kernel reports a reset once, and the writer was told: this is no clean end.
                raise trio.BrokenResourceError("the peer is gone")
            self._heard_end = True
        return data

    async def _read(self, limit: int) -> bytes:
        # `socket.recv` tries first and waits then. Here there is nothing to read yet, nearly
        # always: waiting first saves the failed attempt, and the exception that comes of it.
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._socket.fileno(), limit)
            except BlockingIOError:
                continue

    async def _receive_prefix(self, limit: int) -> bytes:
        if self._answered is not None:
            if not self._unanswered_bytes:
                await self._answered.wait()
                self._check_not_closing()
            else:
                limit = min(limit, self._unanswered_bytes)
                self._unanswered_bytes -= limit
        await trio.lowlevel.checkpoint()
        data, self._prefix = self._prefix[:limit], self._prefix[limit:]
        return data

    async def aclose(self) -> None:
        """Say what must be said, write what waits, and close so that the peer can read it all.

        Takes at most `linger_timeout` seconds. If somebody is closing already, waits for that.
        Cancelling closes at once: what waits is lost, and perhaps also what the kernel holds.

        Call it before cancelling the nursery in which trio-websocket reads, because its reader may
        be the one that is closing.
        """
        first = not self._closing
        try:
            if first:
                await self._part()
            elif self._closed is not None:
                await self._closed.wait()
        finally:
            self._socket.close()
            self._outbound.abandon()
            if self._closed is not None:
                self._closed.set()
        await trio.lowlevel.checkpoint()

    async def _part(self) -> None:
        if self._upgraded and self.is_open and not self._heard_end:
            self.finish(self._translate_close.get(CLOSED_WITHOUT_A_FRAME, b""))
        self._closing, self._closed = True, trio.Event()
        if self._answered is not None:
            self._answered.set()
        with trio.move_on_after(self._linger_timeout):
            await self._outbound.flush()
            if not (self._outbound.broken or self._heard_end):
                await read_to_end(self._socket, timeout=self._linger_timeout)
