"""Children that any actor finds by name, without a message.

A directory is asked far more often than it changes, and all actors run in one thread, so a lookup
is a call and not a conversation. A lookup gives a ref; the state behind the ref stays the child's.

The directory is a table: it is made before the tree, and outlives the actor that keeps the
children. While there is no keeper, the directory is empty and starts no child.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Never, TypeVar

from tocsin.actors.runtime.errors import ActorStopped
from tocsin.actors.runtime.prompt import PromptActor
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import TEMPORARY
from tocsin.actors.runtime.supervisor import Actor, Context, Supervisor

M = TypeVar("M")


class Directory(Generic[M]):
    """Temporary children by name, each with a mailbox of *capacity*."""

    look_interval: ClassVar[float] = math.inf
    """Seconds after which the keeper calls `look`, again and again."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._children: Supervisor | None = None

    @contextmanager
    def kept_by(self, children: Supervisor) -> Iterator[None]:
        """Have *children* supervise all that this directory starts, until the end of the block.

        Only the keeper calls it.
        """
        self._children = children
        try:
            yield
        finally:
            self._children = None

    def look(self, now: float) -> None:
        """Look after the children at *now* (Trio time): deadlines that are all of one kind.

        A deadline in each child would cost each an alarm that is nearly always set for nothing.
        """

    def find(self, name: str) -> Ref[M] | None:
        """The child called *name*, if it is running."""
        return None if self._children is None else self._children.find(name)

    def names(self) -> list[str]:
        """The names of all children."""
        return [] if self._children is None else self._children.names()

    def __len__(self) -> int:
        return 0 if self._children is None else len(self._children)

    def _spawn(self, name: str, factory: Callable[[], Actor[M]]) -> Ref[M]:
        """Start a child; raises `ActorStopped` while there is no keeper."""
        if self._children is None:
            raise ActorStopped
        return self._children.spawn(name, factory, capacity=self._capacity, policy=TEMPORARY)

    def _spawn_prompt(self, name: str, factory: Callable[[], PromptActor[M]]) -> Ref[M]:
        """As `_spawn`, for a prompt actor: a child that never waits. Raises `ActorStopped`."""
        if self._children is None:
            raise ActorStopped
        return self._children.spawn_prompt(name, factory, capacity=self._capacity)

    def _retire(self, name: str) -> None:
        """Let a child that has nothing to do end, unless a message for it has just come."""
        if self._children is not None:
            self._children.retire(name)


class DirectoryKeeper(Actor[Never]):
    """Supervises the children of *directory*; stops them all at once, within *grace* seconds."""

    def __init__(
        self, directory: Directory[Any], jitter: Callable[[], float], *, grace: float
    ) -> None:
        self._directory = directory
        self._jitter = jitter
        self._grace = grace
        self._look_at = -math.inf if directory.look_interval < math.inf else math.inf

    def next_deadline(self) -> float:
        """When (Trio time) the directory looks after its children."""
        return self._look_at

    async def on_deadline(self, now: float) -> None:
        """Have the directory look after its children."""
        self._directory.look(now)
        self._look_at = now + self._directory.look_interval

    async def run(self, context: Context[Never]) -> None:
        """Supervise the children until told to stop. Cancelling abandons them."""
        async with context.open_supervisor(self._jitter, together=True) as children:
            with self._directory.kept_by(children):
                await super().run(context)
                await children.stop_together(self._grace)
