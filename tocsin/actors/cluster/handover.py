"""A device's acknowledgments on the node that it has left are stored before it starts on another.

A node writes acknowledgments some milliseconds after it has them, together with many others. A
device whose connection is cut may be on another node before that, which would send it again pushes
that it has acknowledged. The store knows that the device's last session is still open, and the
session's name says on which node. So the new node asks the old one:

    attach: a session of node a is open ── SessionSought ──→ a: all that was said on it is noted,
    attach again                        ←─ SessionSettled ── and the ledger is written

A device pays that round trip only if it comes back faster than the ledger is written, or if its old
node has not noticed that it has left. A node that is not heard is not waited for, and no node for
longer than `PATIENCE`. Without an answer it is as after the death of a node: pushes that were
acknowledged in the last moments come again. A node that did not answer in time is not asked for a
while, so that a node that has just died does not hold up all devices that come from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import trio

from tocsin.actors.cluster.peers import Peers
from tocsin.actors.delivery.messages import Settle
from tocsin.actors.delivery.users import Users
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref, Reply
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.storage.requests import Flush, StorageMessage
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.protocol.cluster.envelopes import SessionSettled, SessionSought

PATIENCE: Final = 0.5
"""Seconds that an old node has for its answer: the time of some transactions."""
_MUTE: Final = 5.0
"""Seconds for which a node is not asked after it gave no answer."""
_ASKED_MAX: Final = 10_000
"""Questions of other nodes that wait here; beyond it an answer would come too late anyway."""


class Handover:
    """The sessions to be settled, by the node called *node* and by its peers; see the module.

    *say* says an envelope to the nodes that hear of a user.
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
        """Rings when the first session begins to wait."""
        self.asked: WorkList[tuple[str, str]] = WorkList()
        """User and session of each question of another node."""
        self.bell = Bell()
        """Rings when another node asks."""

    # --- The new node ----------------------------------------------------------------------------

    def settle(self, user: str, session: str, done: Callable[[], None]) -> bool:
        """Have *session* of *user* settled by its node; returns whether to wait for that.

        If so, *done* is called when the session is settled, or after `PATIENCE` seconds.
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
        """When (Trio time) the first session has waited for long enough."""
        return next((each[0] for each in self._waiting.values()), math.inf)

    def give_up(self, now: float) -> None:
        """Let the first session wait no longer, and do not ask its node again for a while."""
        session = next(iter(self._waiting))
        _, peer, done = self._waiting.pop(session)
        self._mute[peer] = now + _MUTE
        done()

    # --- Both ------------------------------------------------------------------------------------

    def hear(self, user: str, speaker: str, word: SessionSought | SessionSettled) -> None:
        """Take *word*, which *speaker* has said to the nodes that hear of *user*."""
        if isinstance(word, SessionSettled):
            self._mute.pop(speaker, None)
            if (waiting := self._waiting.pop(word.session, None)) is not None:
                waiting[2]()
        elif word.session.startswith(f"{self._node}/") and len(self.asked) < _ASKED_MAX:
            self.asked.add(((user, word.session),))
            self.bell.ring()

    # --- The old node ----------------------------------------------------------------------------

    def settled(self, sessions: Iterable[tuple[str, str]]) -> None:
        """Say that all acknowledgments of *sessions*, each with its user, are written."""
        for user, session in sessions:
            self._say(user, SessionSettled(session))


class SessionSettler:
    """Settles the sessions of *handover*, by the actors of *users* and the ledger."""

    def __init__(self, handover: Handover, users: Users, storage: Ref[StorageMessage]) -> None:
        self._handover = handover
        self._users = users
        self._storage = storage

    async def run(self) -> None:
        """Answer other nodes, and let no session here wait too long, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer)
            nursery.start_soon(self._give_up)

    async def _give_up(self) -> None:
        """Let each session go on that has waited for long enough."""
        handover = self._handover
        while True:
            if (due := handover.next_due()) > (now := trio.current_time()):
                await handover.impatient.wait(due)
            else:
                handover.give_up(now)

    async def _answer(self) -> None:
        """Settle the sessions that other nodes ask for, all that came in the meantime together."""
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
                pass  # The other nodes go on without an answer.
            handover.asked.done()

    async def _write(self, users: dict[str, None]) -> None:
        """Have all acknowledgments written that the devices of *users* have sent here up to now.

        Raises `StoreUnavailable`, `StoreFailed` or an `ActorError`.
        """
        replies: list[Reply[None]] = []
        for user in users:
            # The request stands behind all messages of the user's connections. A user without an
            # actor here has nothing left to note.
            if self._users.find(user) is not None:
                settle = Settle()
                self._users.tell(user, settle, forced=True)
                replies.append(settle.reply)
        for reply in replies:
            await reply.wait()
        await self._storage.ask(Flush())
