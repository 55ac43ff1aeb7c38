"""A bounded queue of messages that outlives each incarnation of its actor.

Trio's memory channels would do, at two to three times the price: they serve many receivers, and a
mailbox has one. That one task parks here and is rescheduled by the first message, so a message to
an idle actor costs one task switch and nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

import trio

from tocsin.actors.runtime.errors import ActorStopped, MailboxFull

M = TypeVar("M")

_BURST = 64
"""Messages read without a checkpoint in between: more would starve the other actors."""


class Mailbox(Generic[M]):
    """First in, first out; closing it lets what is already inside be read."""

    __slots__ = ("_burst", "_closed", "_queue", "_reader", "_room", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._queue: deque[M] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._room: trio.lowlevel.ParkingLot | None = None
        self._closed = False
        self._burst = 0

    def put_nowait(self, message: M) -> None:
        """Add *message*; raises `MailboxFull` or `ActorStopped`."""
        if len(self._queue) >= self.capacity:
            raise ActorStopped if self._closed else MailboxFull
        self.put_reply(message)

    def put_reply(self, message: M) -> None:
        """Add *message* beyond the capacity; raises `ActorStopped`.

        For answers to what the owner itself asked: it has bounded them by asking, and an answer
        that is dropped for want of room would leave it waiting for ever.
        """
        if self._closed:
            raise ActorStopped
        self._queue.append(message)
        self._wake_reader()

    async def put(self, message: M) -> None:
        """Add *message*, waiting for room; cancelled, it has not been added."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while len(self._queue) >= self.capacity and not self._closed:
            if self._room is None:
                self._room = trio.lowlevel.ParkingLot()
            await self._room.park()
        self.put_reply(message)

    async def get(self, deadline: float = math.inf) -> M | None:
        """Wait for a message; `None` means *deadline* (Trio time) came first, or the end.

        The end is `ended`: closed and empty. Not always a checkpoint: a backlog is read in bursts.
        """
        self._burst += 1
        if not self._queue or self._burst > _BURST:
            self._burst = 0
            if self._queue or self._closed:
                await trio.lowlevel.checkpoint()
            elif deadline == math.inf:
                await self._park()
            else:
                with trio.move_on_at(deadline):
                    await self._park()
        if not self._queue:
            return None
        message = self._queue.popleft()
        if self._room is not None:
            self._room.unpark()
        return message

    def close(self) -> None:
        """Accept nothing more; waiting senders get `ActorStopped`."""
        self._closed = True
        self._wake_reader()
        if self._room is not None:
            self._room.unpark_all()

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come out again."""
        return self._closed and not self._queue

    def discard(self) -> Iterator[M]:
        """Close, and yield what nobody will read."""
        self.close()
        while self._queue:
            yield self._queue.popleft()

    def __len__(self) -> int:
        return len(self._queue)

    async def _park(self) -> None:
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            trio.lowlevel.reschedule(reader)
