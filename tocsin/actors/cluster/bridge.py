"""The cluster bridge: this node's voice and ears on the bus.

It tells the news of commits here to the nodes whose users they concern, and hears the news that
concern users of this node. No delivery depends on the bridge: a change that goes unheard is found
by reconciling (`reconciler`), so a bus that is away makes the cluster slow and not wrong. But the
node has to know that the bus is away. Every second the bridge says that it is alive, on a channel
that all nodes hear, its own included. Then it is uncertain in two cases:

- It does not hear itself for some seconds, or the bus raises: the node is *deaf*. Clients and
  operators are told, and all users here are reconciled every second, until the node hears an
  envelope that it has said since. A process that was stopped for a while finds itself deaf when it
  goes on. It does not take for new the bytes that had been waiting in its socket, and resends no
  push before it has looked, because the notification may have been withdrawn in the meantime.
- It does not hear another node that it heard before, and that did not say goodbye. If that node is
  dead, its last commits may not have been told; if it is cut off from the bus, it may still be
  committing. So the bridge reconciles as often, for as long as that node may be expected back.

The bridge says and heeds no envelope without a seal of this cluster (`trust`); while a stranger
speaks to all nodes, it reconciles as often too.

The bridge's knowledge, and the envelopes it has still to say, stand in a table that outlives it
(`state`). Its own parts: `channels`, `disconnections`, `handover`, `envelope_handler`,
`reconciler`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, Never

import trio

from tocsin.actors.cluster.channels import ChannelKeeper
from tocsin.actors.cluster.disconnections import DisconnectionKeeper
from tocsin.actors.cluster.envelope_handler import EnvelopeHandler
from tocsin.actors.cluster.handover import SessionSettler
from tocsin.actors.cluster.reconciler import Reconciler
from tocsin.actors.cluster.state import SILENCE_MAX, ClusterState
from tocsin.actors.delivery.messages import Introduce
from tocsin.actors.delivery.users import Users
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.bell import Bell, pause
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Context
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.storage.requests import StorageMessage
from tocsin.persistence.bus import Bus, BusUnavailable, Gap, Heard
from tocsin.protocol.cluster.envelopes import (
    CONTROL,
    Alive,
    Envelope,
    Leaving,
    Spooling,
    SpoolingHeard,
    Unreadable,
    channel_topic,
    channel_user,
)
from tocsin.protocol.cluster.sightings import ActorsShown, ActorsSought, Sighted, Spectating
from tocsin.protocol.log.news import News

BEAT: Final = 1.0
"""Seconds between two signs of life."""
_WATCH: Final = 0.5
"""Seconds between two looks at what is heard: a small part of `SILENCE_MAX`, which they make
longer."""
_RETRY: Final = 0.5
"""Seconds before the bus is asked again: a node is cut off for so much longer than it has to be."""
_HEAR_MAX: Final = 256
"""Envelopes heeded before others have their turn."""
_CLOSE_TIMEOUT: Final = 2.0
"""Seconds for the bus to close: the node ends, and one that does not answer is left behind."""


class ClusterBridge(TableWorker):
    """Says the envelopes of *state* over *bus*, and hands the news that it hears to *dispatch*."""

    def __init__(
        self,
        state: ClusterState,
        bus: Bus,
        *,
        storage: Ref[StorageMessage],
        users: Users,
        topics: Topics,
        dispatch: Callable[[News], None],
    ) -> None:
        self._state = state
        self._bus = bus
        self._users = users
        self._topics = topics
        self._heart = Bell()
        self._said = trio.lowlevel.ParkingLot()
        self._channels = ChannelKeeper(state.channels, bus, self._confirmed)
        self._disconnections = DisconnectionKeeper(state.disconnections, bus, users, state.trust)
        self._settler = SessionSettler(state.handover, users, storage)
        self._handler = EnvelopeHandler(
            *(state.node, users, state.peers, state.handover, dispatch, state.timing)
        )
        self._reconciler = Reconciler(
            state.doubtful,
            storage,
            users,
            topics,
            state.status.statistics,
            state.entropy,
            hurried=lambda: self._is_uncertain,
            looked=lambda began: state.freshness.looked(began, trio.current_time()),
        )

    async def run(self, context: Context[Never]) -> None:
        """Relay until stopped; then say the rest, and goodbye. If cancelled, only close the bus."""
        try:
            await super().run(context)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT):
                await self._bus.aclose()

    def tasks(self) -> Tasks:
        """Three tasks: the bus, the watch over it, and the looks into the store."""
        return (self._relay, self._watch, self._reconciler.run)

    async def finish(self) -> None:
        """Say the envelopes that are left, and goodbye, if the bus works."""
        state = self._state
        if state.status.available:
            state.disconnections.tell()
            state.say(CONTROL, Leaving())
            while len(state.outbox):
                await self._said.park()

    # --- Saying and hearing ----------------------------------------------------------------------

    async def _relay(self) -> None:
        while True:
            try:
                await self._bus.open()
                break
            except BusUnavailable as error:
                self._lose(str(error))
                await trio.sleep(_RETRY)
        while not self._state.trust.is_able:
            await self._state.store_reached.wait()
        self._state.channels.start_anew()
        async with trio.open_nursery() as nursery:
            parts = (self._channels.run, self._disconnections.run, self._settler.run)
            for task in (self._hear, self._speak, self._beat, *parts):
                nursery.start_soon(task)

    async def _speak(self) -> None:
        statistics = self._state.status.statistics
        while True:
            if not len(self._state.outbox):
                self._said.unpark_all()
                await self._state.to_say.wait()
                continue
            batch = self._state.outbox.take()
            try:
                await self._bus.publish([self._state.trust.sealed(said) for said, _ in batch])
                statistics.said += len(batch)
            except BusUnavailable as error:
                self._state.outbox.put_back(batch)
                self._lose(str(error))
                await trio.sleep(_RETRY)
            except BaseException:
                # Cancelled or failed: the next incarnation says the batch.
                self._state.outbox.put_back(batch)
                raise
            statistics.dropped = self._state.outbox.dropped

    async def _beat(self) -> None:
        """Give signs of life, past the outbox: one that waited there would prove nothing."""
        while True:
            try:
                await self._bus.publish([self._state.trust.sealed_sign(self._state.canary.sing())])
            except BusUnavailable as error:
                self._lose(str(error))
            interval = BEAT if self._state.status.available else _RETRY
            await self._heart.wait(trio.current_time() + interval)

    async def _hear(self) -> None:
        while True:
            heard = await self._bus.receive()
            self._check()
            self._heed(heard[:_HEAR_MAX])
            for start in range(_HEAR_MAX, len(heard), _HEAR_MAX):
                await trio.lowlevel.checkpoint()
                self._heed(heard[start : start + _HEAR_MAX])

    def _heed(self, heard: Sequence[Heard]) -> None:
        statistics = self._state.status.statistics
        for each in heard:
            if isinstance(each, Gap):
                statistics.gaps += 1
                self._missed(each.channels)
                continue
            if self._state.trust.is_own(each.payload):
                continue
            statistics.heard += 1
            try:
                if (word := self._state.trust.heed(each)) is not None:
                    self._hand_on(each.channel, *word)
            except Unreadable:
                statistics.unreadable += 1

    def _hand_on(self, channel: str, speaker: str, envelope: Envelope) -> None:
        match envelope:
            case Alive() | Leaving():
                self._heard_from(speaker, envelope)
            case Spooling() | SpoolingHeard():
                self._state.spool_word.hear(speaker, envelope)
            case Spectating() | Sighted() | ActorsSought() | ActorsShown():
                self._state.look_on(speaker, envelope)
            case _:
                self._handler.hear(channel, speaker, envelope)

    # --- Missed envelopes ------------------------------------------------------------------------

    def _confirmed(self, channels: Collection[str]) -> None:
        """Note that *channels* are heard from now on.

        A user of one of them is doubtful, if the user's log was read before that.
        """
        if CONTROL in channels:
            self._heart.ring()
            self._state.disconnections.missed()
        users = [
            each for each in self._concerned(channels) if self._users.head_of(each) is not None
        ]
        # Their channels are heard anew: a device of theirs may have moved in between.
        named = {channel_user(channel) for channel in channels}
        self._introduce(user for user in users if user in named)
        self._doubt(users)

    def _missed(self, channels: Collection[str]) -> None:
        """Note that envelopes on *channels* may have been said and not heard."""
        if CONTROL in channels:
            self._state.disconnections.missed()
            self._state.spool_word.doubt()
        users = self._concerned(channels)
        self._introduce(users)
        self._doubt(users)

    def _doubt(self, users: Iterable[str]) -> None:
        self._state.doubtful.add(users)
        self._reconciler.hasten()

    def _concerned(self, channels: Iterable[str]) -> list[str]:
        """The users with an actor here that *channels* of users and topics concern."""
        users: dict[str, None] = {}
        for channel in channels:
            if (topic := channel_topic(channel)) is not None:
                users.update(dict.fromkeys(self._topics.users_of(topic)))
            elif (user := channel_user(channel)) is not None:
                users[user] = None
        return [user for user in users if self._users.find(user) is not None]

    def _introduce(self, users: Iterable[str]) -> None:
        """Tell the other nodes which devices are here: each may have moved there unheard."""
        for user in users:
            with suppress(MailboxFull):
                self._users.tell(user, Introduce())

    # --- Deafness --------------------------------------------------------------------------------

    @property
    def _is_uncertain(self) -> bool:
        """Whether another node may commit, or have committed, changes that go unheard here."""
        is_lost = self._state.freshness.is_stale or not self._state.status.available
        return (
            is_lost
            or self._is_audible(self._state.trust.stranger_at)
            or self._state.peers.missing > 0
        )

    def _is_audible(self, heard_at: float) -> bool:
        return trio.current_time() - heard_at <= SILENCE_MAX

    async def _watch(self) -> None:
        while True:
            self._check()
            self._state.peers.forget_dead()
            if self._is_uncertain:
                self._reconciler.hasten()
            await pause(_WATCH)

    def _check(self) -> None:
        self._state.freshness.notice_pause(trio.current_time())
        if self._state.status.available and not self._is_audible(self._state.freshness.heard_until):
            self._lose("the node does not hear itself")

    def _lose(self, reason: str) -> None:
        self._state.status.statistics.failures += 1
        self._state.reasons.tell(reason)
        # An envelope said before this moment, if it is heard later, does not prove that the node
        # hears again.
        self._state.trusted_from = trio.current_time()
        if self._state.status.available:
            self._state.status.statistics.losses += 1
            self._state.status.set_available(False)
            self._reconciler.hasten()
        self._state.channels.give_up_waiting()

    def _heard_from(self, speaker: str, envelope: Alive | Leaving) -> None:
        state = self._state
        if isinstance(envelope, Leaving):
            state.peers.left(speaker)
        elif speaker != state.node:
            state.peers.alive(speaker, envelope.said_at)
        elif not state.canary.is_own(envelope):
            self._lose(f'another node is called "{state.node}" too: each needs a name of its own')
            state.trusted_from += SILENCE_MAX
        else:
            state.freshness.heard(envelope.said_at)
            state.status.statistics.seconds.observe(trio.current_time() - envelope.said_at)
            is_late = not self._is_audible(envelope.said_at)
            if not (state.status.available or is_late or envelope.said_at < state.trusted_from):
                self._regain()

    def _regain(self) -> None:
        self._state.reasons.ready()
        self._state.spool_word.doubt()
        self._state.status.set_available(True)
        self._state.disconnections.missed()
        users = self._users.names()
        self._introduce(users)
        self._doubt(users)
