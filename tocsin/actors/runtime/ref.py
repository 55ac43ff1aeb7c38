"""How one actor addresses another: tell, send, ask.

A message that wants an answer is a `Request`: it carries its `Reply`. An answer either wakes the
task that waits for it (`Ref.ask`) or comes back as a message (`Ref.piped`), for actors that must
not stand still while they wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import outcome
import trio

from tocsin.actors.runtime.alarms import alarm_clock
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped
from tocsin.actors.runtime.mailbox import Mailbox

M = TypeVar("M")
T = TypeVar("T")


class Reply(Generic[T]):
    """A place for exactly one answer; the first to arrive is kept."""

    __slots__ = ("_outcome", "_waiter")

    def __init__(self) -> None:
        self._outcome: outcome.Outcome[T] | None = None
        self._waiter: trio.lowlevel.Task | None = None

    def set(self, value: T) -> None:
        """Answer with *value*; never blocks, and has no effect if no task waits any more."""
        self._settle(outcome.Value(value))

    def fail(self, error: Exception) -> None:
        """Answer with *error*, raised where the answer is awaited."""
        self._settle(outcome.Error(error))

    async def wait(self, deadline: float = math.inf) -> T:
        """Wait for the answer, until *deadline* (Trio time): then it raises `trio.TooSlowError`.

        If cancelled or too slow, the answer is lost but the work goes on. The deadline is an alarm,
        because a cancel scope would cost several times what the wait does.
        """
        if self._outcome is None:
            self._waiter = trio.lowlevel.current_task()
            if deadline == math.inf:
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            else:
                alarm = alarm_clock().set(deadline, self._wake)
                try:
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
                finally:
                    alarm_clock().cancel(alarm)
        if self._outcome is None:
            raise trio.TooSlowError
        return self._outcome.unwrap()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            trio.lowlevel.reschedule(waiter)

    def _settle(self, result: outcome.Outcome[T]) -> None:
        if self._outcome is None:
            self._outcome = result
            self._wake()


class PipedReply(Reply[T]):
    """An answer with which *deliver* is called, in the turn of the actor that gives it."""

    __slots__ = ("_deliver",)

    def __init__(self, deliver: Callable[[outcome.Outcome[T]], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def _settle(self, result: outcome.Outcome[T]) -> None:
        if self._outcome is None:
            self._outcome = result
            self._deliver(result)


class _ReplyAsMessage(Reply[T], Generic[T, M]):
    """An answer that *ref* is told as a message, which *wrap* makes of it."""

    # A class and not a closure: each notification has one, and cells are objects, too.
    __slots__ = ("_ref", "_wrap")

    def __init__(self, ref: Ref[M], wrap: Callable[[outcome.Outcome[T]], M]) -> None:
        super().__init__()
        self._ref = ref
        self._wrap = wrap

    def _settle(self, result: outcome.Outcome[T]) -> None:
        if self._outcome is None:
            self._outcome = result
            if not self._ref.stopped:
                try:
                    self._ref.mailbox.put_reply(self._wrap(result))
                except ActorStopped:
                    # Stopping: it reads what it has, and asks for nothing new.
                    return


class Request(msgspec.Struct, Generic[T], kw_only=True, eq=False):
    """A message whose sender waits for a `T`."""

    reply: Reply[T] = msgspec.field(default_factory=Reply)


class Ref(Generic[M]):
    """An actor's address: safe to keep, even after the actor has gone.

    It may be made before its actor, so that others can be given it. *mailbox* is for the
    supervisor.
    """

    __slots__ = ("_gone", "_stopped", "mailbox", "path")

    def __init__(self, path: str, mailbox: Mailbox[M]) -> None:
        self.path = path
        self.mailbox = mailbox
        self._gone = False
        self._stopped: trio.Event | None = None

    def tell(self, message: M) -> None:
        """Send without waiting; raises `MailboxFull` or `ActorStopped`."""
        self.mailbox.put_nowait(message)

    def tell_beyond(self, message: M) -> None:
        """Send beyond the capacity; raises `ActorStopped`. See `Mailbox.put_reply`."""
        self.mailbox.put_reply(message)

    async def send(self, message: M) -> None:
        """Send, waiting for room, which is how backpressure travels. Raises `ActorStopped`. If
        cancelled, the message has not been sent."""
        await self.mailbox.put(message)

    async def ask(self, request: Request[T]) -> T:
        """Send a request and wait for its answer; bound it with `trio.fail_after`. If cancelled,
        the request may still be handled.

        Raises `ActorStopped`, `ActorCrashed`, or what the actor failed the request with.
        """
        await self.mailbox.put(request)  # type: ignore[arg-type]
        return await request.reply.wait()

    def piped(self, wrap: Callable[[outcome.Outcome[T]], M]) -> Reply[T]:
        """A reply that comes to this actor as the message that *wrap* makes of its outcome.

        It is admitted beyond the capacity (see `Mailbox.put_reply`); if the actor has gone by
        then, it is dropped.
        """
        return _ReplyAsMessage(self, wrap)

    @property
    def stopped(self) -> bool:
        """Whether the actor has ended for good."""
        return self._gone

    async def wait_stopped(self) -> None:
        """Wait until the actor has ended for good; returns at once if it has."""
        if self.stopped:
            await trio.lowlevel.checkpoint()
            return
        if self._stopped is None:
            self._stopped = trio.Event()
        await self._stopped.wait()

    def mark_stopped(self) -> None:
        """For the supervisor: nothing will be read from the mailbox any more."""
        self._gone = True
        if self._stopped is not None:
            self._stopped.set()

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"


def crashed(message: Any, error: Exception) -> None:
    """Tell the asker, if *message* has one, that handling it ended in *error*."""
    if isinstance(message, Request):
        failure = ActorCrashed(f"{type(message).__name__}: {type(error).__name__}")
        failure.__cause__ = error
        message.reply.fail(failure)


def abandoned(message: Any) -> None:
    """Tell the asker, if *message* has one, that nobody will answer it."""
    if isinstance(message, Request):
        message.reply.fail(ActorStopped(type(message).__name__))
