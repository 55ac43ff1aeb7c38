"""A child of a tree, as a value: its factory, its address, and by when it must have ended.

A tree is one tuple of these. Read downwards it says the order of the starts, and read upwards that
of the stops, so each child finds what it needs for as long as it lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import TRANSIENT, RestartPolicy
from tocsin.actors.runtime.supervisor import Actor, Supervisor


@dataclass(frozen=True, slots=True)
class Child:
    """*factory* makes each incarnation; *stopped_by* is a part, 0 to 1, of the tree's drain time.

    *ref* is the child's address where others know it before it is started, with the mailbox behind
    it. *after* is awaited before the start.
    """

    name: str
    factory: Callable[[], Actor[Any]]
    stopped_by: float
    policy: RestartPolicy = TRANSIENT
    ref: Ref[Any] | None = None
    after: Callable[[], Awaitable[None]] | None = None

    async def start(self, tree: Supervisor) -> Ref[Any]:
        """Start the child in *tree*, as soon as `after` returns; its address.

        Cancelled, the child is not started.
        """
        if self.after is not None:
            await self.after()
        return tree.spawn(self.name, self.factory, policy=self.policy, ref=self.ref)
