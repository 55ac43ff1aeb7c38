"""What a device said on the node that it has left is in the store before it starts on another.

A node writes acknowledgments some milliseconds after it has them, together with many others. A
device whose connection is cut may be on another node before that, and would be sent again there
what it has acknowledged. The store knows that the device's last session is still open, and its name
says on which node. So that one is asked:

    attach: a session of node a is open ── SessionSought ──→ a: all that was said on it is noted,
    attach again                        ←─ SessionSettled ── and the ledger is written

Only who comes back faster than the ledger is written, or whose old node has not noticed that it has
left, pays that round trip. Nobody is waited for who is not heard, nor for longer than `PATIENCE`:
then it is as after the death of a node, and what was acknowledged in the last moments comes again.
Who has kept one waiting in vain is not asked for a while, so that a node which has just died does
not hold up all who come from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import trio

from tocsin.actors.cluster.peers import Peers
from tocsin.actors.delivery.messages import Settle
from tocsin.actors.delivery.users import Users
from tocsin.actors.runtime import ActorError, Ref, Reply, WorkList
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.storage.requests import Flush, StorageMessage
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.protocol.envelopes import SessionSettled, SessionSought

PATIENCE: Final = 0.5
"""Seconds that an old node has for its answer: some transactions."""
_MUTE: Final = 5.0
"""Seconds for which one is not asked that gave none."""
_ASKED_MAX: Final = 10_000
"""Questions that wait to be answered; who asked more, gets none in time anyway."""


class Handover:
    """Sessions to be settled, by this node called *node* and by others; see the module.

    *say* says something to the nodes that hear of a user.
    """

    def __init__(
        self,
        node: str,
        peers: Peers,
        say: Callable[[str, SessionSought | SessionSettled], None],
    ) -> None:
        self._node = node
        self._peers = peers
        self._say = say
        # In the order of their deadlines.
        self._waiting: dict[str, tuple[float, str, Callable[[], None]]] = {}
        self._mute: dict[str, float] = {}
        self.impatient = Bell()
        """Rings when somebody begins to wait."""
        self.asked: WorkList[tuple[str, str]] = WorkList()
        """User and session of those that others ask for."""
        self.bell = Bell()
        """Rings when others ask."""

    # --- The new node ----------------------------------------------------------------------------

    def settle(self, user: str, session: str, done: Callable[[], None]) -> bool:
        """Have *session* of *user* settled by its node; whether there is one to wait for.

        If so, *done* is called when that is done, or when there is no point in waiting any longer.
        """
        now = trio.current_time()
        of = (peer for peer in self._peers.heard if session.startswith(f"{peer}/"))
        peer = next(of, None)
        if peer is None or self._mute.get(peer, -math.inf) > now or session in self._waiting:
            return False
        self._waiting[session] = (now + PATIENCE, peer, done)
        self._say(user, SessionSought(session))
        if len(self._waiting) == 1:
            self.impatient.ring()
        return True

    def next_due(self) -> float:
        """When (Trio time) the first has waited for long enough."""
        return next((each[0] for each in self._waiting.values()), math.inf)

    def give_up(self, now: float) -> None:
        """Let the first go on, and do not ask its peer again for a while."""
        session = next(iter(self._waiting))
        _, peer, done = self._waiting.pop(session)
        self._mute[peer] = now + _MUTE
        done()

    # --- Both ------------------------------------------------------------------------------------

    def hear(self, user: str, speaker: str, word: SessionSought | SessionSettled) -> None:
        """*speaker* has said *word* to those who hear of *user*."""
        if isinstance(word, SessionSettled):
            self._mute.pop(speaker, None)
            if (waiting := self._waiting.pop(word.session, None)) is not None:
                waiting[2]()
        elif word.session.startswith(f"{self._node}/") and len(self.asked) < _ASKED_MAX:
            self.asked.add(((user, word.session),))
            self.bell.ring()

    # --- The old node ----------------------------------------------------------------------------

    def settled(self, sessions: Iterable[tuple[str, str]]) -> None:
        """All that was said on *sessions* is written, each with its user: say so."""
        for user, session in sessions:
            self._say(user, SessionSettled(session))


class SessionSettler:
    """Settles what *handover* says, with the actors of *users* and the ledger."""

    def __init__(self, handover: Handover, users: Users, storage: Ref[StorageMessage]) -> None:
        self._handover = handover
        self._users = users
        self._storage = storage

    async def run(self) -> None:
        """Answer those who ask, and see to it that nobody here waits too long, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer)
            nursery.start_soon(self._give_up)

    async def _give_up(self) -> None:
        """Let those go on who have waited for long enough."""
        handover = self._handover
        while True:
            if (due := handover.next_due()) > (now := trio.current_time()):
                await handover.impatient.wait(due)
            else:
                handover.give_up(now)

    async def _answer(self) -> None:
        """Settle what others ask for, all that has come in the meantime together."""
        handover = self._handover
        while True:
            if not handover.asked:
                await handover.bell.wait()
                continue
            asked = handover.asked.take()
            try:
                with trio.fail_after(PATIENCE):
                    await self._write({user: None for user, _ in asked})
                handover.settled(asked)
            except (trio.TooSlowError, StoreUnavailable, StoreFailed, ActorError):
                pass  # They go on by themselves.
            handover.asked.done()

    async def _write(self, users: dict[str, None]) -> None:
        """Have written all that *users* have said here up to now."""
        replies: list[Reply[None]] = []
        for user in users:
            # Behind what its connections have told it before; who is not here has told all.
            if self._users.find(user) is not None:
                settle = Settle()
                self._users.tell(user, settle, forced=True)
                replies.append(settle.reply)
        for reply in replies:
            await reply.wait()
        await self._storage.ask(Flush())
