"""Asking another node for its tree of actors, over the bus.

The question goes to all nodes and is answered by the one that it names, on the channel that only
nodes hear at which operators look on. It is asked again for a while, since either may be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.protocol.cluster.envelopes import Unreadable
from tocsin.protocol.cluster.sightings import ActorsShown, ActorsSought

PATIENCE: Final = 3.0
"""Seconds that the other node has for its answer."""
REPEAT: Final = 0.5
"""Seconds after which it is asked again."""
CHILDREN_MAX: Final = 1000
"""Children of a supervisor that are shown to another node: some 200 KiB on the bus."""
BYTES_MAX: Final = 512 * 1024
"""Bytes of a tree on the bus; of a larger one fewer children are shown."""

Tree = tuple[Snapshot, ...]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Tree).decode


class TreesBus(Protocol):
    """The way to the other nodes."""

    def say_to_all(self, word: ActorsSought) -> None:
        """Ask all nodes."""

    def say_sighted(self, word: ActorsShown) -> None:
        """Answer the nodes at which operators look on."""

    def watch_sightings(self) -> None:
        """Begin to hear answers."""

    def leave_sightings(self) -> None:
        """Cease to hear them."""


class ActorTrees:
    """The trees of other nodes, and that of the *node* here, which *show* gives to any depth."""

    def __init__(self, node: str, bus: TreesBus, show: Callable[[int], Tree]) -> None:
        self._node = node
        self._bus = bus
        self._show = show
        self._next = 0
        self._asked: dict[int, tuple[str, Bell]] = {}
        self._shown: dict[int, Tree] = {}

    async def ask(self, node: str, children_max: int) -> Tree | None:
        """The tree of *node*, with *children_max* children per supervisor at most; `None` if it
        does not answer within `PATIENCE` seconds. Cancelling abandons the answer."""
        self._next += 1
        number, bell = self._next, Bell()
        self._asked[number] = node, bell
        self._bus.watch_sightings()
        try:
            deadline = trio.current_time() + PATIENCE
            while number not in self._shown and trio.current_time() < deadline:
                self._bus.say_to_all(ActorsSought(node, number, min(children_max, CHILDREN_MAX)))
                await bell.wait(min(deadline, trio.current_time() + REPEAT))
            return self._shown.get(number)
        finally:
            del self._asked[number]
            self._shown.pop(number, None)
            if not self._asked:
                self._bus.leave_sightings()

    def hear(self, speaker: str, word: ActorsSought | ActorsShown) -> None:
        """Take a *word* of the node called *speaker*; raises `Unreadable`."""
        if isinstance(word, ActorsSought):
            if word.node == self._node:
                self._bus.say_sighted(ActorsShown(speaker, word.number, self._written(word.limit)))
            return
        node, bell = self._asked.get(word.number, ("", None))
        if word.asker == self._node and bell is not None and speaker == node:
            try:
                self._shown[word.number] = _decode(word.tree)
            except msgspec.DecodeError as error:
                raise Unreadable(str(error)) from None
            bell.ring()

    def _written(self, children_max: int) -> bytes:
        limit = max(1, min(children_max, CHILDREN_MAX))
        written = _encode(self._show(limit))
        while len(written) > BYTES_MAX and limit > 1:
            limit //= 2
            written = _encode(self._show(limit))
        return written
