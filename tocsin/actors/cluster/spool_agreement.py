"""The agreement that the spool is in use: all nodes know it before a producer is told `202`.

Nodes do not lose the store in the same moment, nor find it again in the same moment. A producer
that was told `202` by one node may send its next post to another, and that node must not commit it
in front of the spooled one. So a node that has appended *asks* the others, and answers its producer
when every node has said that it knows:

    append to the spool ── Spooling ──→ all nodes: no post goes to the store from here
    202 to the producer ←─ SpoolingHeard ── all nodes

A node that knows puts new posts behind the spool until a look that began after it heard has found
the spool empty (`drain`). Such a look sees entries that were appended before the question was
asked, so each of them either waits or is stored already. This is why the question comes after the
append: a look between a question and its append would find no entry, and would be believed.

The question is asked once in a *run*, because no node finds the spool empty while it is not. The
question comes back to its asker as well, behind the first envelopes of all nodes that it can reach.
So a node that joined before the question is known and waited for, and a node that joins later looks
later.

Only nodes that are heard are waited for, at most `PATIENCE` seconds. A node that is silent for so
long has looked by itself in the meantime, or was stopped, and a node that was stopped looks before
it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from tocsin.actors.cluster.peers import Peers
from tocsin.actors.runtime.bell import Bell
from tocsin.protocol.cluster.envelopes import Spooling, SpoolingHeard

PATIENCE: Final = 2.0
"""Seconds that all nodes together have for their answers: longer than a node goes without a look,
or is stopped without noticing it."""
_REPEAT: Final = 0.25
"""Seconds after which the question is asked again: it, or an answer, may have gone unheard."""


class SpoolWord:
    """The agreement of the node called *node* with its *peers*; *say* says it to all nodes.

    *doubt* is called when the spool may hold entries that this node does not know of.
    """

    def __init__(
        self,
        node: str,
        peers: Peers,
        say: Callable[[Spooling | SpoolingHeard], None],
        doubt: Callable[[], None],
    ) -> None:
        self._node = node
        self._peers = peers
        self._say = say
        self._run = ""
        self._knowing: set[str] = set()
        self._bell = Bell()
        self.doubt = doubt

    async def spread(self, run: str) -> None:
        """Return when all nodes that are heard know that *run* has begun, or after `PATIENCE`.

        Only one task may ask at a time. Cancelling abandons the answers.
        """
        self._run, self._knowing = run, set()
        with trio.move_on_after(PATIENCE):
            while not self._is_known():
                self._say(Spooling(run))
                await self._listen(trio.current_time() + _REPEAT)

    def hear(self, speaker: str, word: Spooling | SpoolingHeard) -> None:
        """Take *word*, which *speaker* (perhaps this node) has said."""
        if isinstance(word, Spooling) and speaker != self._node:
            self.doubt()
            self._say(SpoolingHeard(word.run))
        elif word.run == self._run:
            self._knowing.add(speaker)
            self._bell.ring()

    async def _listen(self, until: float) -> None:
        while not self._is_known() and trio.current_time() < until:
            await self._bell.wait(until)

    def _is_known(self) -> bool:
        return self._knowing.issuperset((self._node, *self._peers.heard))
