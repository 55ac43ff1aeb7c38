"""How all nodes come to know that something waits in the spool, before a producer is told so.

Nodes do not lose the store together, nor find it again. A producer that was told `202` by one may
send its next post to another, and that one must not commit it in front of what waits. So who has
appended *asks* around, and gives its answer when every node has said that it knows:

    append to the spool ── Spooling ──→ everybody: nothing goes to the store from here
    202 to the producer ←─ SpoolingHeard ── everybody

A node that knows puts what comes behind the spool until a look that began after it heard has found
the spool empty (`spool_drain`). Such a look sees what was appended before the question was put, so
that it waits or is stored already. This is why the question comes after the append: a look between
a question and its append would find nothing, and be believed.

It is asked once in a *run*: while the spool is not empty nobody finds it so. The question comes
back to its asker as well, behind the first words of everybody whom it can reach: whoever joined
before it is known and waited for, and whoever joins later looks later.

Nobody is waited for who is not heard, or for longer than `PATIENCE`. A node that answers nothing
for so long has looked meanwhile, or was stopped, and then it looks before it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from tocsin.actors.cluster.peers import Peers
from tocsin.actors.runtime.bell import Bell
from tocsin.protocol.envelopes import Spooling, SpoolingHeard

PATIENCE: Final = 2.0
"""Seconds that all together have for their answers: longer than a node goes without a look, or is
stopped without noticing it."""
_REPEAT: Final = 0.25
"""Seconds after which the question is put again: it, or an answer, may have gone unheard."""


class SpoolWord:
    """The word of the node called *node* and of its *peers*; *say* says something to all nodes.

    *doubt* is called when something may wait in the spool for all that is known here.
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
        """Return when all who are heard know that *run* has begun. One task may ask.

        Cancelling abandons the answers.
        """
        self._run, self._knowing = run, set()
        with trio.move_on_after(PATIENCE):
            while not self._is_known():
                self._say(Spooling(run))
                await self._listen(trio.current_time() + _REPEAT)

    def hear(self, speaker: str, word: Spooling | SpoolingHeard) -> None:
        """*speaker*, perhaps this node, has said *word*."""
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
