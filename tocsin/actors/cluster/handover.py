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
from collections.abc import Callable
from typing import Final

import trio

from tocsin.actors.cluster.peers import Peers
from tocsin.actors.delivery.messages import Settle
from tocsin.actors.delivery.users import Users
from tocsin.actors.runtime import ActorError, Ref, Reply
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
    """Of the node called *node*; *say* says something to the nodes that hear of a user."""

    def __init__(
        self,
        node: str,
        peers: Peers,
        users: Users,
        storage: Ref[StorageMessage],
        say: Callable[[str, SessionSought | SessionSettled], None],
    ) -> None:
        self._node = node
        self._peers = peers
        self._users = users
        self._storage = storage
        self._say = say
        # In the order of their deadlines.
        self._waiting: dict[str, tuple[float, str, Callable[[], None]]] = {}
        self._impatient = Bell()
        self._mute: dict[str, float] = {}
        self._asked: dict[tuple[str, str], None] = {}
        self._bell = Bell()

    async def run(self) -> None:
        """Answer those who ask, and see to it that nobody here waits too long, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer)
            nursery.start_soon(self._give_up)

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
            self._impatient.ring()
        return True

    async def _give_up(self) -> None:
        """Let those go on who have waited for long enough."""
        while True:
            due = next((each[0] for each in self._waiting.values()), math.inf)
            if due > (now := trio.current_time()):
                await self._impatient.wait(due)
                continue
            session = next(iter(self._waiting))
            _, peer, done = self._waiting.pop(session)
            self._mute[peer] = now + _MUTE
            done()

    # --- The old node ----------------------------------------------------------------------------

    async def _answer(self) -> None:
        """Settle what others ask for, all that has come in the meantime together."""
        while True:
            if not self._asked:
                await self._bell.wait()
                continue
            asked, self._asked = self._asked, {}
            try:
                with trio.fail_after(PATIENCE):
                    await self._write({user: None for user, _ in asked})
            except (trio.TooSlowError, StoreUnavailable, StoreFailed, ActorError):
                continue  # they go on by themselves
            for user, session in asked:
                self._say(user, SessionSettled(session))

    def hear(self, user: str, speaker: str, word: SessionSought | SessionSettled) -> None:
        """*speaker* has said *word* to those who hear of *user*."""
        if isinstance(word, SessionSettled):
            self._mute.pop(speaker, None)
            if (waiting := self._waiting.pop(word.session, None)) is not None:
                waiting[2]()
        elif word.session.startswith(f"{self._node}/") and len(self._asked) < _ASKED_MAX:
            self._asked[user, word.session] = None
            self._bell.ring()

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
