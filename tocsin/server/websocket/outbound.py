"""The way out of one socket: whole writes, in order, written at once or queued within a bound.

    offer(data) ──┐                     ┌─ os.write at once, if nothing waits
    put(data) ────┼─ whole, in order ───┤
    offer_soon ───┘                     └─ queue ── writer task ── os.writev

Between `hold` and `let_go` all is queued and nothing written: a write costs more than all else
about a small frame, and what is said in one go can go out in one.

Nothing here waits except `flush` and the writer task. That task exists only while
something waits: ten thousand idle connections must not own ten thousand tasks and empty queues.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final

import trio

from tocsin.protocol.errors import DescribedError

_BUFFERS_PER_WRITE: Final = 64
"""One system call for many small frames; IOV_MAX on Linux is 1024."""


class SlowConsumer(DescribedError):
    """More bytes would wait for this peer than the limit allows. It reads too slowly, or not at
    all: end its connection; the log keeps what it has not got."""


class Outbound:
    """The queue in front of one non-blocking socket.

    *bytes_max* bounds what may wait because of `offer`. Once a write fails the peer is gone:
    `broken` is set, what waited is forgotten, and further writes are dropped.
    """

    __slots__ = (
        "_bytes_max",
        "_holds",
        "_nursery",
        "_progress",
        "_queue",
        "_socket",
        "broken",
        "bytes_written",
        "pending",
        "writing",
    )

    def __init__(
        self, socket: trio.socket.SocketType, *, bytes_max: int, nursery: trio.Nursery
    ) -> None:
        self._socket = socket
        self._bytes_max = bytes_max
        self._nursery = nursery
        self._holds = 0
        self._queue: deque[bytes | memoryview] | None = None
        self._progress: trio.Event | None = None  # set at the next write, if somebody waits for it
        self.pending = 0  # bytes that the kernel has not taken
        self.bytes_written = 0
        self.writing = False  # the writer task exists
        self.broken = False

    def offer(self, data: bytes) -> None:
        """Write or queue *data*. Raises `SlowConsumer` if more than `bytes_max` would then wait.

        Nothing of *data* is sent in that case, except when nothing waited and the kernel took a
        part of it: then the rest is kept, because what was begun must be finished.
        """
        if self._holds:
            self._queue_within_bounds(data)
            return
        if self.pending:
            if self.pending + len(data) > self._bytes_max:
                raise SlowConsumer(f"{self.pending} bytes wait, and there is no room for more")
            self._append(data)
            return
        sent = self._write_now(data)
        rest = len(data) - sent
        if not rest or self.broken:
            return
        if sent or rest <= self._bytes_max:
            self._append(memoryview(data)[sent:] if sent else data)
            self._start_writer()
        if rest > self._bytes_max:
            raise SlowConsumer(f"{rest} bytes of one frame would have to wait")

    def offer_soon(self, data: bytes) -> None:
        """Queue *data*, for one write with what follows before other tasks have had their turn.

        Raises `SlowConsumer` as `offer` does; nothing of *data* is sent in that case.
        """
        self._queue_within_bounds(data)
        self._start_writer()

    def hold(self) -> None:
        """Write nothing before `let_go`, but for what would be too much to keep.

        Of several holds the outermost counts.
        """
        self._holds += 1

    def let_go(self) -> None:
        """Write what was held, in as few writes as the kernel takes it in."""
        self._holds -= 1
        if self.pending and not (self.writing or self._holds):
            self._try_write_some()
            if self.pending:
                self._start_writer()

    def _queue_within_bounds(self, data: bytes) -> None:
        if self.pending + len(data) > self._bytes_max:
            # It may be us who have not written, and not the peer who does not read.
            self._try_write_some()
        if self.broken:
            return
        if self.pending + len(data) > self._bytes_max:
            raise SlowConsumer(f"{self.pending} bytes wait, and there is no room for more")
        self._append(data)

    def put(self, data: bytes) -> None:
        """Write or queue *data*, without a bound: for last words."""
        if not data or self.broken:
            return
        sent = 0 if self.pending or self._holds else self._write_now(data)
        if sent < len(data) and not self.broken:
            self._append(memoryview(data)[sent:] if sent else data)
            self._start_writer()

    def forget_waiting(self) -> None:
        """Forget the writes that wait, except one that was begun."""
        if self._queue:
            first = self._queue[0]
            self._queue.clear()
            self.pending = 0
            if isinstance(first, memoryview):  # only the rest of a begun write is a view
                self._append(first)

    async def flush(self) -> None:
        """Write what waits, also when the writer's nursery is no more. Raises nothing.

        Cancelling leaves the rest in the queue.
        """
        while self.writing and self.pending:
            await self._wait_progress()
        if self.pending:
            await self._write_waiting()

    def abandon(self) -> None:
        """The peer is gone, or we are: forget everything and let nobody wait."""
        self.broken = True
        self._queue = None
        self.pending = 0
        self._wake()

    def _append(self, data: bytes | memoryview) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(data)
        self.pending += len(data)

    def _write_now(self, data: bytes) -> int:
        # os.write on the descriptor, because Trio's socket has no public way to send without
        # waiting. fileno() is asked for each time: after close() it says -1, and a number kept
        # from before might by then be somebody else's connection.
        try:
            sent = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError:
            self.abandon()
            return 0
        self.bytes_written += sent
        return sent

    def _start_writer(self) -> None:
        if self.writing:
            return
        try:
            self._nursery.start_soon(self._write_waiting)
        except RuntimeError:
            return  # the nursery has ended; what waits can still go out in flush
        self.writing = True

    async def _write_waiting(self) -> None:
        try:
            self._write_some()
            while self._queue:
                await trio.lowlevel.wait_writable(self._socket)
                self._write_some()
        except (OSError, trio.ClosedResourceError):
            self.abandon()
        finally:
            self.writing = False
            if not self._queue:
                self._queue = None
            self._wake()

    def _try_write_some(self) -> None:
        try:
            self._write_some()
        except OSError:
            self.abandon()

    def _write_some(self) -> None:
        queue = self._queue
        if not queue:
            return  # abandoned while the writer waited, perhaps by the reader in the same tick
        buffers = [queue[i] for i in range(min(len(queue), _BUFFERS_PER_WRITE))]
        try:
            sent = os.writev(self._socket.fileno(), buffers)
        except BlockingIOError:
            return
        self.bytes_written += sent
        self.pending -= sent
        while sent:
            first = queue[0]
            if sent < len(first):
                queue[0] = memoryview(first)[sent:]
                break
            sent -= len(first)
            queue.popleft()
        self._wake()

    async def _wait_progress(self) -> None:
        if self._progress is None:
            self._progress = trio.Event()
        await self._progress.wait()

    def _wake(self) -> None:
        if self._progress is not None:
            self._progress.set()
            self._progress = None
