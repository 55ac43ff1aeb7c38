"""An actor that keeps others: its children are found by name, by anyone, without a message.

A directory is asked far more often than it changes, and everything runs in one thread, so a lookup
is a call and not a conversation. What it hands out are refs: the children's state stays theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tocsin.actors.runtime import (
    TEMPORARY,
    Actor,
    ActorStopped,
    Context,
    PromptActor,
    Ref,
    Supervisor,
)

M = TypeVar("M")


class Directory(Actor[Any], Generic[M]):
    """Temporary children by name; stops them all at once, within *grace* seconds."""

    def __init__(self, jitter: Callable[[], float], *, capacity: int, grace: float) -> None:
        self._jitter = jitter
        self._capacity = capacity
        self._grace = grace
        self._children: Supervisor | None = None

    async def run(self, context: Context[Any]) -> None:
        """Keep the children until told to stop."""
        async with context.open_supervisor(self._jitter, together=True) as self._children:
            try:
                await super().run(context)
                await self._children.stop_together(self._grace)
            finally:
                self._children = None

    def find(self, name: str) -> Ref[M] | None:
        """The child called *name*, if it is running."""
        return None if self._children is None else self._children.find(name)

    def names(self) -> list[str]:
        """The names of all children."""
        return [] if self._children is None else self._children.names()

    def __len__(self) -> int:
        return 0 if self._children is None else len(self._children)

    def _spawn(self, name: str, factory: Callable[[], Actor[M]]) -> Ref[M]:
        """Start a child; raises `ActorStopped` while the directory itself is down."""
        if self._children is None:
            raise ActorStopped
        return self._children.spawn(name, factory, capacity=self._capacity, policy=TEMPORARY)

    def _spawn_prompt(self, name: str, factory: Callable[[], PromptActor[M]]) -> Ref[M]:
        """As `_spawn`, for a child that never waits."""
        if self._children is None:
            raise ActorStopped
        return self._children.spawn_prompt(name, factory, capacity=self._capacity)

    def _retire(self, name: str) -> None:
        """Let a child that has nothing to do end, unless a message for it has just come."""
        if self._children is not None:
            self._children.retire(name)
