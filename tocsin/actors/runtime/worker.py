"""Actors without messages, each of which works on a table that outlives it.

State that must survive a crash stands in the *table*, a plain object that is made before the tree
and that others call. The worker is made anew by its factory at each incarnation and is handed the
table. It takes an item out of the table only when the item is done, so nothing that it has in hand
is lost with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Never

import trio

from tocsin.actors.runtime.supervisor import Actor, Context

Tasks = Sequence[Callable[[], Awaitable[None]]]
"""Methods that run side by side, for ever; their tasks are called after them."""


class TableWorker(Actor[Never]):
    """Runs its `tasks` until it is stopped; one that fails ends the incarnation."""

    __slots__ = ()

    async def run(self, context: Context[Never]) -> None:
        """Work until told to stop; then `finish`, and end the tasks."""
        async with trio.open_nursery() as nursery:
            for task in self.tasks():
                nursery.start_soon(task, name=f"{context.ref.path}/{task.__name__.strip('_')}")
            await super().run(context)
            await self.finish()
            nursery.cancel_scope.cancel()

    def tasks(self) -> Tasks:
        """The methods to be run."""
        raise NotImplementedError

    async def finish(self) -> None:
        """The worker was told to stop; its tasks run until this returns."""
