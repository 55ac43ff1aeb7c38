"""A bounded queue of messages that outlives each incarnation of its actor.

Trio's memory channels would do, at two to three times the price: they serve many receivers, and a
mailbox has one. That one task parks here and is rescheduled by the first message, so a message to
an idle actor costs one task switch and nothing else. Its deadline is an alarm for the same reason
(see `waiting`).
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

import outcome
import trio

from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.waiting import WaitingPlace, has_passed

M = TypeVar("M")

_BURST = 64
"""Messages read without a checkpoint in between: a longer burst would starve the other actors."""


class Mailbox(WaitingPlace, Generic[M]):
    """First in, first out; closing it lets what is already inside be read."""

    __slots__ = ("_burst", "_closed", "_queue", "_senders", "capacity")

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        # Made for the first message that waits. An empty one has 760 bytes, and nearly all prompt
        # actors never need it.
        self._queue: deque[M] | None = None
        # Senders that wait for room, with their messages; only while there is none.
        self._senders: OrderedDict[trio.lowlevel.Task, M] | None = None
        self._closed = False
        self._burst = 0

    def put_nowait(self, message: M) -> None:
        """Add *message*; raises `MailboxFull` or `ActorStopped`."""
        if len(self) >= self.capacity:
            raise ActorStopped if self._closed else MailboxFull
        self.put_reply(message)

    def put_reply(self, message: M) -> None:
        """Add *message* beyond the capacity; raises `ActorStopped`.

        For answers to the owner's own requests: it has bounded them by asking, and an answer that
        is dropped for want of room would leave it waiting for ever.
        """
        if self._closed:
            raise ActorStopped
        if self._queue is None:
            self._queue = deque()
        self._queue.append(message)
        if self._waiting is not None:
            self._wake()

    async def put(self, message: M) -> None:
        """Add *message*, waiting for room. If cancelled, it has not been added.

        Waiting senders are served in turn; they get `ActorStopped` if the mailbox closes. Not a
        checkpoint when there is room.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed or len(self) < self.capacity:
            self.put_reply(message)
            return
        if self._senders is None:
            self._senders = OrderedDict()
        senders, sender = self._senders, trio.lowlevel.current_task()
        senders[sender] = message

        def abort(_: object) -> trio.lowlevel.Abort:
            del senders[sender]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def get(self, deadline: float = math.inf) -> M | None:
        """Wait for a message; `None` means *deadline* (Trio time) came first, or the end.

        The end is `ended`: closed and empty. Not always a checkpoint: a backlog is read in bursts,
        and between two bursts a deadline that has passed comes first. Cancelling it loses no
        message.
        """
        if self._queue and self._burst < _BURST:
            self._burst += 1
            return self._pop()
        self._burst = 1
        if self._queue or self._closed or has_passed(deadline):
            await trio.lowlevel.checkpoint()
            if has_passed(deadline):
                return None
        while not self._queue:
            if self._closed:
                return None
            self._enter(deadline)
            await trio.lowlevel.wait_task_rescheduled(self._abort)
            if not self._queue and has_passed(deadline):
                return None
        return self._pop()

    def close(self) -> None:
        """Accept nothing more; waiting senders get `ActorStopped`."""
        self._closed = True
        self._wake()
        while self._senders:
            sender, _ = self._senders.popitem(last=False)
            trio.lowlevel.reschedule(sender, outcome.Error(ActorStopped()))

    @property
    def closed(self) -> bool:
        """Whether it accepts no more messages."""
        return self._closed

    @property
    def ended(self) -> bool:
        """Whether it is closed and empty: no message will come out any more."""
        return self._closed and not self._queue

    def discard(self) -> Iterator[M]:
        """Close, and yield the messages that are left unread."""
        self.close()
        self._forget_alarm()
        while self._queue:
            yield self._queue.popleft()

    def __len__(self) -> int:
        return 0 if self._queue is None else len(self._queue)

    def _pop(self) -> M:
        assert self._queue is not None, "asked only if a message waits"
        message = self._queue.popleft()
        if self._senders and len(self._queue) < self.capacity:
            # Handed over, not just woken: until its task runs, another sender could take the place.
            sender, waiting = self._senders.popitem(last=False)
            self._queue.append(waiting)
            trio.lowlevel.reschedule(sender)
        return message
