"""The other nodes, as the actors of this node see them: to be told of changes, and to be heard.

A node of a cluster has `ClusterState` for them. A node alone has `ALONE`, which tells no node and
hears none. No method raises, and only `spooling` and `actors_of` block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from tocsin.actors.delivery.messages import UserMessage
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.protocol.log.news import News


class Neighbours(Protocol):
    """The port to the other nodes; see the module."""

    @property
    def is_alone(self) -> bool:
        """Whether this node is the only one, so that all that happens to a user is known here."""

    @property
    def audible(self) -> int:
        """How many other nodes are heard."""

    @property
    def heard(self) -> Sequence[str]:
        """Their names."""

    async def actors_of(self, node: str, children_max: int) -> tuple[Snapshot, ...] | None:
        """The tree of actors of *node*, one of those that are heard; `None` if it does not answer
        in some seconds. Cancelling abandons the answer."""

    @property
    def is_current(self) -> bool:
        """Whether this node knows, as of some seconds ago, what the other nodes did."""

    def listen(self, user: str, ref: Ref[UserMessage]) -> bool:
        """Begin to hear what other nodes say of *user*; returns whether they are heard already.

        If not, *ref* is told `Listening` as soon as they are, or need not be waited for.
        """

    def leave(self, user: str) -> None:
        """Cease to hear of *user*, who is online here no more."""

    def watch_topic(self, topic: str) -> None:
        """Begin to hear of *topic*: a user in it is online here."""

    def leave_topic(self, topic: str) -> None:
        """Cease to hear of *topic*: no user in it is online here any more."""

    def announce(self, news: Sequence[News]) -> None:
        """Tell the other nodes the *news*, in this order."""

    def device_arrived(self, user: str, device: str, connection: str, head: int) -> None:
        """Tell the other nodes that *device* has attached here, when the log had *head*.

        A node that has an older connection of the device closes it as `replaced`.
        """

    def device_here(self, user: str, device: str, connection: str, since: float) -> None:
        """Tell the other nodes that *device* has been connected here *since* (Trio time).

        A node with a younger connection of the device answers with that one, and ours is closed as
        `replaced`.
        """

    def settle(self, user: str, session: str, done: Callable[[], None]) -> bool:
        """Have the node of *session*, if it is another, write the acknowledgments it has from it.

        Returns whether there is anything to wait for. If so, *done* is called when they are
        written, or soon in any case.
        """

    def disconnect(self, user: str) -> None:
        """Have all connections of *user* to other nodes ended."""

    async def spooling(self, run: str) -> None:
        """Return when all nodes that are heard know that the spool is not empty, since *run* began.

        That takes a round trip, and `spool_agreement.PATIENCE` seconds at most. Cancelling abandons
        the answers.
        """


class Alone:
    """The neighbours of a node that has none."""

    is_alone: bool = True
    audible: Final = 0
    heard: Final = ()
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

    async def actors_of(self, node: str, children_max: int) -> tuple[Snapshot, ...] | None:
        await trio.lowlevel.checkpoint()
        return None

    async def spooling(self, run: str) -> None:
        await trio.lowlevel.checkpoint()


ALONE: Final = Alone()
