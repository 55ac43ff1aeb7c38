"""The other nodes, as the actors of this one see them: whom to tell, and from whom to be told.

The cluster bridge is one; a node alone has `ALONE`, which nobody hears and from which nothing
comes. No method raises, and only `spooling` blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from tocsin.actors.delivery.messages import UserMessage
from tocsin.actors.runtime import Ref
from tocsin.protocol.news import News


class Neighbours(Protocol):
    """See the module."""

    @property
    def audible(self) -> int:
        """How many of them are heard."""

    @property
    def is_current(self) -> bool:
        """Whether what they do is known here, as of some seconds ago."""

    def listen(self, user: str, ref: Ref[UserMessage]) -> bool:
        """Hear what others say of *user*; whether that is so already.

        If not, *ref* is told `Listening` when it is, or when there is no point in waiting.
        """

    def leave(self, user: str) -> None:
        """*user* is online here no more."""

    def watch_topic(self, topic: str) -> None:
        """Somebody here is in *topic*."""

    def leave_topic(self, topic: str) -> None:
        """Nobody here is in *topic* any more."""

    def announce(self, news: Sequence[News]) -> None:
        """Tell the other nodes of *news*, in this order."""

    def device_arrived(self, user: str, device: str, connection: str, head: int) -> None:
        """*device* has attached here, when the log had *head*: elsewhere it is `replaced`."""

    def device_here(self, user: str, device: str, connection: str, since: float) -> None:
        """*device* has been connected here *since* (Trio time); who has it later, says so."""

    def settle(self, user: str, session: str, done: Callable[[], None]) -> bool:
        """Have written what *session* of *user* has said to the node that it is on, if to another.

        Whether there is anything to wait for; then *done* is called, soon in any case.
        """

    def disconnect(self, user: str) -> None:
        """End all connections of *user*, everywhere else."""

    async def spooling(self, run: str) -> None:
        """Something waits in the spool since *run* began: return when all who are heard know it.

        That takes a round trip, and `spool_word.PATIENCE` seconds at most.
        """


class Alone:
    """There are no others."""

    audible: Final = 0
    is_current: Final = True

    def listen(self, user: str, ref: Ref[UserMessage]) -> bool:
        return True

    def leave(self, user: str) -> None:
        return

    def watch_topic(self, topic: str) -> None:
        return

    def leave_topic(self, topic: str) -> None:
        return

    def announce(self, news: Sequence[News]) -> None:
        return

    def device_arrived(self, user: str, device: str, connection: str, head: int) -> None:
        return

    def device_here(self, user: str, device: str, connection: str, since: float) -> None:
        return

    def settle(self, user: str, session: str, done: Callable[[], None]) -> bool:
        return False

    def disconnect(self, user: str) -> None:
        return

    async def spooling(self, run: str) -> None:
        await trio.lowlevel.checkpoint()


ALONE: Final = Alone()
