"""Actors, and the supervisors that keep them alive.

A supervisor is a nursery that remembers its children by name. A child that fails is restarted
alone (OTP: one-for-one). To restart several together, make them the children of one actor: when
one of them fails too often that actor fails, and its own supervisor starts the whole group afresh
(one-for-all). Children stop in the reverse of the order in which they were started.

*Stop* lets an actor finish what is queued, within a deadline. *Cancel* abandons it. They never mix:
a cancelled actor is not restarted, and a stopping actor is not cancelled before its deadline.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import structlog
import trio

from tocsin.actors.runtime.errors import ActorStopped, RestartLimitExceeded
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.prompt import Attendant, PromptActor, PromptMailbox
from tocsin.actors.runtime.ref import Ref, abandoned, crashed
from tocsin.actors.runtime.restart import TRANSIENT, RestartHistory, RestartPolicy
from tocsin.actors.runtime.snapshot import Snapshot

M = TypeVar("M")
_NO_SCOPE: Final = nullcontext()
logger = structlog.get_logger(__name__)


class Actor(Generic[M]):
    """State owned by one task.

    Override `receive`, and `next_deadline` with `on_deadline` where time matters; or override
    `run` to own the loop. A timer is a deadline that the next wait for a message ends at: there
    are no timer tasks.
    """

    __slots__ = ()

    async def run(self, context: Context[M]) -> None:
        """Read messages until the mailbox ends; an exception is a crash."""
        mailbox = context.mailbox
        while not mailbox.ended:
            deadline = self.next_deadline()
            message = await mailbox.get(deadline)
            if message is None:
                if not mailbox.ended:
                    await self.on_deadline(trio.current_time())
                continue
            try:
                await self.receive(message)
            except Exception as error:
                crashed(message, error)
                self.dropped(message)
                raise
            except BaseException:
                # Cancelled with the message in hand: its asker would wait for ever.
                abandoned(message)
                self.dropped(message)
                raise

    async def receive(self, message: M) -> None:
        """Handle one message; an exception ends this incarnation."""
        raise NotImplementedError

    def dropped(self, message: M) -> None:
        """*message* was in hand when this incarnation failed, or was cancelled; must not raise.

        Override it if someone waits for the outcome by other means than a `Reply`; the asker of a
        `Request` has already been answered.
        """

    def next_deadline(self) -> float:
        """When `on_deadline` wants to be called next (Trio time); asked before every wait."""
        return math.inf

    async def on_deadline(self, now: float) -> None:
        """The deadline has come; a spurious call must do no harm."""


class Context(Generic[M]):
    """The runtime's side of an actor, which outlives its incarnations: mailbox, address,
    children."""

    __slots__ = ("_children", "_history", "_last_error", "_restarts", "_scope", "mailbox", "ref")

    def __init__(self, ref: Ref[M], policy: RestartPolicy, scope: trio.CancelScope | None) -> None:
        self.mailbox: Mailbox[M] = ref.mailbox
        self.ref: Ref[M] = ref
        self._scope = scope
        self._history = RestartHistory(policy)
        self._restarts = 0
        # Not the exception itself: its traceback keeps the dead incarnation in memory.
        self._last_error: str | None = None
        self._children: Supervisor | None = None

    @asynccontextmanager
    async def open_supervisor(
        self, jitter: Callable[[], float], *, together: bool = False
    ) -> AsyncIterator[Supervisor]:
        """A supervisor for this actor's own children; they end when the block does."""
        path = self.ref.path
        async with open_supervisor(path, jitter, together=together) as self._children:
            yield self._children

    def stop(self, grace: float) -> None:
        """Accept no more messages; finish the queued ones, within *grace* seconds if it has a
        scope."""
        self.mailbox.close()
        if self._scope is not None:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + grace)

    def snapshot(self, children_max: int) -> Snapshot:
        children = self._children
        return Snapshot(
            path=self.ref.path,
            waiting=len(self.mailbox),
            capacity=self.mailbox.capacity,
            restarts=self._restarts,
            last_error=self._last_error,
            child_count=0 if children is None else len(children),
            children=() if children is None else tuple(children.snapshot(children_max)),
        )

    async def supervise(self, factory: Callable[[], Actor[M]], jitter: Callable[[], float]) -> None:
        """Run incarnation after incarnation until one returns or the limit is spent."""
        try:
            with self._scope or _NO_SCOPE:
                while await self._fails(factory, jitter):
                    self._restarts += 1
        finally:
            for message in self.mailbox.discard():
                abandoned(message)
            self.ref.mark_stopped()

    async def _fails(self, factory: Callable[[], Actor[M]], jitter: Callable[[], float]) -> bool:
        """Run one incarnation; say whether to run another, after a pause."""
        path = self.ref.path
        try:
            # The factory belongs inside: an actor that cannot be made has failed like any other.
            await factory().run(self)
            return False
        except Exception as error:
            self._last_error = repr(error)
            if trio.current_effective_deadline() == -math.inf:
                # Already cancelled: another incarnation is not wanted, and raising here would hide
                # why we were cancelled.
                logger.exception("actor failed while being cancelled", actor=path)
                return False
            delay = self._history.next_delay(trio.current_time(), jitter())
            # Not while stopping: that would cancel siblings which are still to be stopped in turn.
            if delay is None and self._history.escalates and not self.mailbox.closed:
                raise RestartLimitExceeded(path) from error
            logger.exception("actor failed", actor=path, restart_delay=delay)
            if delay is None:
                return False
        except BaseExceptionGroup as group:
            # Cancelled, and failed on the way out: the failure must not outlive the cancellation.
            failures, rest = group.split(Exception)
            if failures is not None:
                logger.error("actor failed while being cancelled", actor=path, exc_info=failures)
            assert rest is not None
            raise rest from None
        await trio.sleep(delay)
        return True


class Supervisor:
    """Starts actors under a path, has failed ones made anew, stops them in reverse order.

    Children that only ever stop *together* do without a cancel scope each, which would be a
    quarter of the life of a short one. When their grace is over, the supervisor's block is
    cancelled.
    """

    __slots__ = (
        "_attendant",
        "_contexts",
        "_jitter",
        "_nursery",
        "_path",
        "_stopping",
        "_together",
    )

    def __init__(
        self, path: str, nursery: trio.Nursery, jitter: Callable[[], float], *, together: bool
    ) -> None:
        self._path = path
        self._nursery = nursery
        self._jitter = jitter
        self._together = together
        self._contexts: dict[str, Context[Any] | PromptMailbox[Any]] = {}
        self._attendant: Attendant | None = None
        self._stopping = False

    def spawn(
        self,
        name: str,
        factory: Callable[[], Actor[M]],
        *,
        capacity: int = 64,
        policy: RestartPolicy = TRANSIENT,
        ref: Ref[M] | None = None,
    ) -> Ref[M]:
        """Start an actor, each incarnation of which is made by *factory*.

        Its ref may be used at once. A *ref* that was made before is the actor's address, with the
        mailbox behind it; otherwise a mailbox with *capacity* is made. Raises `ValueError` if
        *name* is taken, `ActorStopped` once the supervisor is stopping.
        """
        self._check_free(name)
        scope = None if self._together else trio.CancelScope()
        path = f"{self._path}/{name}"
        assert ref is None or ref.path == path, "an actor is found at its address"
        context: Context[M] = Context(ref or Ref(path, Mailbox(capacity)), policy, scope)
        self._nursery.start_soon(self._watch, name, context, factory, name=context.ref.path)
        self._contexts[name] = context
        return context.ref

    def spawn_prompt(
        self, name: str, factory: Callable[[], PromptActor[M]], *, capacity: int = 64
    ) -> Ref[M]:
        """Start an actor that never waits (see `prompt`); as `spawn`, but one that fails is gone.

        Exceptions of *factory* are raised here.
        """
        self._check_free(name)
        if self._attendant is None:
            self._attendant = Attendant()
            self._nursery.start_soon(self._attendant.run, name=f"{self._path}/attendant")
        path = f"{self._path}/{name}"
        mailbox: PromptMailbox[M] = PromptMailbox(
            path, capacity, self._attendant, self._prompt_gone
        )
        self._contexts[name] = mailbox
        try:
            mailbox.begin(factory())
        except BaseException:
            del self._contexts[name]
            raise
        return mailbox.ref

    def find(self, name: str) -> Ref[Any] | None:
        """The running child called *name*, if there is one."""
        context = self._contexts.get(name)
        return None if context is None else context.ref

    def names(self) -> list[str]:
        """The names of all running children, in the order in which they were started."""
        return list(self._contexts)

    def retire(self, name: str) -> None:
        """Passivate a child that is idle: it ends, and its name is free at once.

        A child with messages waiting is left alone. Between the look and the end no other task
        runs, so no message can be lost.
        """
        context = self._contexts.get(name)
        if context is not None and not len(context.mailbox):
            del self._contexts[name]
            context.mailbox.close()

    async def stop(self, grace: float | Callable[[str], float]) -> None:
        """Stop children one by one, newest first; start no more. If cancelled, the children that
        are left are not waited for.

        *grace* is the seconds that each has, or gives them by the child's name when its turn comes.
        """
        self._stopping = True
        for name in reversed(list(self._contexts)):
            await self.stop_child(name, grace(name) if callable(grace) else grace)

    async def stop_child(self, name: str, grace: float) -> None:
        """Stop one child within *grace* seconds and wait for its end; no effect if it has ended."""
        assert not self._together
        context = self._contexts.get(name)
        if context is not None:
            context.stop(grace)
            await context.ref.wait_stopped()

    async def stop_together(self, grace: float) -> None:
        """Stop all children at once: for the many that do not depend on one another."""
        self._stopping = True
        contexts = list(self._contexts.values())
        if self._together:
            self._nursery.cancel_scope.deadline = trio.current_time() + grace
        for context in contexts:
            context.stop(grace)
        for context in contexts:
            await context.ref.wait_stopped()

    def leave(self) -> None:
        """The block is being left: the attendant ends with the last prompt actor."""
        if self._attendant is not None:
            self._attendant.leave_block()

    def abandon(self) -> None:
        """The block has been left: prompt actors, which have no task to be cancelled, end here."""
        for context in list(self._contexts.values()):
            assert isinstance(context, PromptMailbox), "those with tasks have ended"
            context.end()

    def snapshot(self, children_max: int) -> Iterator[Snapshot]:
        """The first *children_max* children, each with as many of its own."""
        for context in islice(self._contexts.values(), children_max):
            yield context.snapshot(children_max)

    def __len__(self) -> int:
        return len(self._contexts)

    async def _watch(self, name: str, context: Context[M], factory: Callable[[], Actor[M]]) -> None:
        try:
            await context.supervise(factory, self._jitter)
        finally:
            self._gone(name, context)

    def _check_free(self, name: str) -> None:
        if self._stopping:
            raise ActorStopped(self._path)
        if name in self._contexts:
            raise ValueError(f"{self._path}/{name} is already running")

    def _prompt_gone(self, mailbox: PromptMailbox[Any]) -> None:
        self._gone(mailbox.ref.path.removeprefix(f"{self._path}/"), mailbox)

    def _gone(self, name: str, context: Context[Any] | PromptMailbox[Any]) -> None:
        # A retired child's name may have been taken since.
        if self._contexts.get(name) is context:
            del self._contexts[name]


@asynccontextmanager
async def open_supervisor(
    path: str, jitter: Callable[[], float], *, together: bool = False
) -> AsyncIterator[Supervisor]:
    """A supervisor whose children live at most as long as the block; leaving waits for them.

    An actor that keeps failing raises `RestartLimitExceeded` out of here. *jitter* gives numbers in
    [0, 1). For children that only stop *together*, see `Supervisor`.
    """
    supervisor: Supervisor | None = None
    try:
        async with trio.open_nursery() as nursery:
            supervisor = Supervisor(path, nursery, jitter, together=together)
            yield supervisor
            supervisor.leave()
    finally:
        assert supervisor is not None, "a nursery always opens"
        supervisor.abandon()
