"""The cluster bridge: this node's voice and ears on the bus.

It says what is committed here to the nodes whose users it concerns, and hears what concerns the
users of this one. Nothing depends on it: what goes unheard is found by reconciling (`reconciler`),
so a bus that is away makes the cluster slow and not wrong. What does matter is to know that it is
away. Every second the bridge says that it is alive, on a channel that all nodes hear, itself too:

- It does not hear itself for some seconds, or the bus raises: it is *deaf*. The clients and the
  operator are told, and all of its users are reconciled every second, until it hears something
  that it has said since. A process that was stopped for a while finds itself deaf when it goes on,
  does not take for new what had been waiting in its socket, and sends nothing again before it has
  looked: what it would repeat may have been withdrawn in the meantime.
- It does not hear another node that it heard before, and which did not say goodbye: dead, and then
  what it committed last may not have been said; or cut off from the bus, and still committing. So
  it reconciles as often, for as long as such a node may be expected back.

Nothing is said or heeded without a seal of this cluster (`trust`); while a stranger speaks to all
nodes, the bridge reconciles as often too.

Its parts: `trust`, `canary`, `freshness`, `channels`, `outbox`, `news_envelopes`,
`envelope_handler`, `spool_agreement`, `reconciler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from tocsin.actors.cluster.canary import Canary
from tocsin.actors.cluster.channels import Channels
from tocsin.actors.cluster.disconnections import Disconnections
from tocsin.actors.cluster.envelope_handler import EnvelopeHandler
from tocsin.actors.cluster.freshness import Freshness
from tocsin.actors.cluster.handover import Handover
from tocsin.actors.cluster.news_envelopes import envelopes_of
from tocsin.actors.cluster.outbox import Outbox
from tocsin.actors.cluster.peers import Peers
from tocsin.actors.cluster.reconciler import Reconciler
from tocsin.actors.cluster.spool_agreement import SpoolWord
from tocsin.actors.cluster.trust import Trust
from tocsin.actors.delivery.messages import Introduce, Listening, UserMessage
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatus
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.reasons import Reasons
from tocsin.actors.runtime import Actor, Context, MailboxFull, Ref
from tocsin.actors.runtime.bell import Bell, pause
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.bus import Bus, BusUnavailable, Gap, Heard, Refusals
from tocsin.protocol.envelopes import (
    CONTROL,
    Alive,
    DeviceArrived,
    DeviceHere,
    DisconnectUser,
    Envelope,
    Leaving,
    Spooling,
    SpoolingHeard,
    Unreadable,
    channel_topic,
    channel_user,
    topic_channel,
    user_channel,
)
from tocsin.protocol.news import News
from tocsin.protocol.notification import EVERYONE
from tocsin.protocol.seals import Seals

logger = structlog.get_logger(__name__)

BEAT: Final = 1.0
"""Seconds between two signs of life."""
SILENCE_MAX: Final = 3.0
"""Seconds without one after which nothing is taken to be heard."""
MISSING_MAX: Final = 120.0
"""Seconds for which a node is missed that fell silent; then it is dead, and has been for long."""
_WATCH: Final = 0.5
_RETRY: Final = 0.5
_HEAR_MAX: Final = 256
"""Envelopes heeded before others have their turn."""
_CLOSE_TIMEOUT: Final = 2.0


class ClusterBridge(Actor[Any]):
    """`Neighbours` of the node called *node*, over *bus*; see the module."""

    def __init__(
        self,
        bus: Bus,
        node: str,
        status: BusStatus,
        *,
        storage: Ref[StorageMessage],
        users: Users,
        topics: Topics,
        world: World,
        seals: Seals,
        refusals: Refusals,
        dispatch: Callable[[News], None],
    ) -> None:
        self.bus = bus
        self._node = node
        self._trust = Trust(node, world, seals, refusals)
        status.statistics.refused = refusals.counts
        self._canary = Canary()
        self._status = status
        self._reasons = Reasons(logger, "bus")
        self._users = users
        self._topics = topics
        self._outbox = Outbox()
        self._bell = Bell()
        self._heart = Bell()
        self._store_reached = Bell()
        self._said = trio.lowlevel.ParkingLot()
        self.channels = Channels(bus, self._confirmed)
        self._peers = Peers(SILENCE_MAX, MISSING_MAX)
        self._handover = Handover(node, self._peers, users, storage, self._say_shortly)
        self.settle = self._handover.settle
        self._handler = EnvelopeHandler(node, users, self._peers, self._handover, dispatch)
        self._spool_word = SpoolWord(node, self._peers, self._say_to_all)
        self.spooling = self._spool_word.spread
        self._reconciler = Reconciler(
            storage,
            users,
            topics,
            status.statistics,
            hurried=lambda: self._is_uncertain,
            looked=lambda began: self._freshness.looked(began, trio.current_time()),
        )
        self._disconnections = Disconnections(
            bus, users, self._trust, say=lambda user: self._say(CONTROL, DisconnectUser(user))
        )
        self._freshness = Freshness(SILENCE_MAX)
        self._trusted_from = -math.inf
        self.channels.want(CONTROL)
        self.channels.want(topic_channel(EVERYONE))

    async def run(self, context: Context[Any]) -> None:
        """Relay until stopped; then say what is left and goodbye."""
        try:
            async with trio.open_nursery() as nursery:
                for task in (self._relay, self._watch, self._reconciler.run):
                    nursery.start_soon(task, name=f"{context.ref.path}/{task.__name__.strip('_')}")
                await super().run(context)
                if self._status.available:
                    self._disconnections.tell()
                    self._say(CONTROL, Leaving())
                    while len(self._outbox):
                        await self._said.park()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT):
                await self.bus.aclose()

    @property
    def audible(self) -> int:
        """How many other nodes are heard."""
        return self._peers.audible

    # --- What others want of it (`Neighbours`) ---------------------------------------------------

    def listen(self, user: str, ref: Ref[UserMessage]) -> bool:
        def ready() -> None:
            with suppress(Exception):
                ref.tell_beyond(Listening())

        heard = self.channels.want(user_channel(user), ready)
        return heard or not self._status.available

    def leave(self, user: str) -> None:
        self.channels.release(user_channel(user))

    def watch_topic(self, topic: str) -> None:
        self.channels.want(topic_channel(topic))

    def leave_topic(self, topic: str) -> None:
        self.channels.release(topic_channel(topic))

    def announce(self, news: Sequence[News]) -> None:
        write, put = self._trust.write, self._outbox.put
        for each in news:
            for channel, envelope in envelopes_of(each):
                put(channel, write(envelope))
        self._bell.ring()

    def device_arrived(self, user: str, device: str, connection: str, head: int) -> None:
        self._say_shortly(user, DeviceArrived(device, connection, head, trio.current_time()))

    def device_here(self, user: str, device: str, connection: str, since: float) -> None:
        self._say_shortly(user, DeviceHere(device, connection, since, trio.current_time()))

    def disconnect(self, user: str) -> None:
        self._disconnections.disconnect(user)

    def watch_spool(self, doubt: Callable[[], None]) -> None:
        self._spool_word.doubt = doubt

    @property
    def is_current(self) -> bool:
        return self._freshness.is_fresh(trio.current_time())

    def store_changed(self, available: bool) -> None:
        """The store was lost, or is there: from the first time on, the nodes' secret is known."""
        self._store_reached.ring()

    # --- Saying and hearing ----------------------------------------------------------------------

    def _say(self, channel: str, envelope: Envelope, *, fleeting: bool = False) -> None:
        self._outbox.put(channel, self._trust.write(envelope), fleeting=fleeting)
        self._bell.ring()

    def _say_shortly(self, user: str, envelope: Envelope) -> None:
        self._say(user_channel(user), envelope, fleeting=True)

    def _say_to_all(self, word: Spooling | SpoolingHeard) -> None:
        # Fleeting: what is still to be known is asked again, and what is said late is of no use.
        self._say(CONTROL, word, fleeting=True)

    async def _relay(self) -> None:
        while True:
            try:
                await self.bus.open()
                break
            except BusUnavailable as error:
                self._lose(str(error))
                await trio.sleep(_RETRY)
        while not self._trust.is_able:
            await self._store_reached.wait()
        self.channels.start_anew()
        async with trio.open_nursery() as nursery:
            parts = (self.channels.run, self._disconnections.run, self._handover.run)
            for task in (self._hear, self._speak, self._beat, *parts):
                nursery.start_soon(task)

    async def _speak(self) -> None:
        statistics = self._status.statistics
        while True:
            if not len(self._outbox):
                self._said.unpark_all()
                await self._bell.wait()
                continue
            batch = self._outbox.take()
            try:
                await self.bus.publish([self._trust.sealed(said) for said, _ in batch])
                statistics.said += len(batch)
            except BusUnavailable as error:
                self._outbox.put_back(batch)
                self._lose(str(error))
                await trio.sleep(_RETRY)
            statistics.dropped = self._outbox.dropped

    async def _beat(self) -> None:
        """Past the outbox: a sign of life that waits its turn would say nothing."""
        while True:
            try:
                await self.bus.publish([self._trust.sealed_sign(self._canary.sing())])
            except BusUnavailable as error:
                self._lose(str(error))
            pause = BEAT if self._status.available else _RETRY
            await self._heart.wait(trio.current_time() + pause)

    async def _hear(self) -> None:
        while True:
            heard = await self.bus.receive()
            self._check()
            self._heed(heard[:_HEAR_MAX])
            for start in range(_HEAR_MAX, len(heard), _HEAR_MAX):
                await trio.lowlevel.checkpoint()
                self._heed(heard[start : start + _HEAR_MAX])

    def _heed(self, heard: Sequence[Heard]) -> None:
        statistics = self._status.statistics
        for each in heard:
            if isinstance(each, Gap):
                statistics.gaps += 1
                self._missed(each.channels)
                continue
            if self._trust.is_own(each.payload):
                continue
            statistics.heard += 1
            try:
                if (word := self._trust.heed(each)) is not None:
                    self._hand_on(each.channel, *word)
            except Unreadable:
                statistics.unreadable += 1

    def _hand_on(self, channel: str, speaker: str, envelope: Envelope) -> None:
        match envelope:
            case Alive() | Leaving():
                self._heard_from(speaker, envelope)
            case Spooling() | SpoolingHeard():
                self._spool_word.hear(speaker, envelope)
            case _:
                self._handler.hear(channel, speaker, envelope)

    # --- What was missed -------------------------------------------------------------------------

    def _confirmed(self, channels: Collection[str]) -> None:
        """*channels* are heard from now on; of some, the store was read before that."""
        if CONTROL in channels:
            self._heart.ring()
            self._disconnections.missed()
        heads = self._users.company.heads
        self._reconciler.doubt(user for user in self.concerned(channels) if user in heads)

    def _missed(self, channels: Collection[str]) -> None:
        """Something may have been said on *channels* that was not heard."""
        if CONTROL in channels:
            self._disconnections.missed()
            self._spool_word.doubt()
        self._introduce(users := self.concerned(channels))
        self._reconciler.doubt(users)

    def concerned(self, channels: Iterable[str]) -> list[str]:
        """The users with an actor here whom *channels* of users and topics concern."""
        users: dict[str, None] = {}
        for channel in channels:
            if (topic := channel_topic(channel)) is not None:
                users.update(dict.fromkeys(self._topics.users_of(topic)))
            elif (user := channel_user(channel)) is not None:
                users[user] = None
        return [user for user in users if self._users.find(user) is not None]

    def _introduce(self, users: Iterable[str]) -> None:
        """Tell the others which devices are here: each may have gone elsewhere unheard."""
        for user in users:
            with suppress(MailboxFull):
                self._users.tell(user, Introduce())

    # --- Deafness --------------------------------------------------------------------------------

    @property
    def _is_uncertain(self) -> bool:
        """Whether something may be committed elsewhere of which nothing is or was heard."""
        is_lost = self._freshness.is_stale or not self._status.available
        return is_lost or self._is_audible(self._trust.stranger_at) or self._peers.missing > 0

    def _is_audible(self, heard_at: float) -> bool:
        return trio.current_time() - heard_at <= SILENCE_MAX

    async def _watch(self) -> None:
        while True:
            self._check()
            self._peers.forget_dead()
            if self._is_uncertain:
                self._reconciler.hasten()
            await pause(_WATCH)

    def _check(self) -> None:
        self._freshness.notice_pause(trio.current_time())
        if self._status.available and not self._is_audible(self._freshness.heard_until):
            self._lose("the node does not hear itself")

    def _lose(self, reason: str) -> None:
        self._status.statistics.failures += 1
        self._reasons.tell(reason)
        # What was said before this moment does not prove that anything is heard after it.
        self._trusted_from = trio.current_time()
        if self._status.available:
            self._status.statistics.losses += 1
            self._status.set_available(False)
            self._reconciler.hasten()
        self.channels.give_up_waiting()

    def _heard_from(self, speaker: str, envelope: Alive | Leaving) -> None:
        if isinstance(envelope, Leaving):
            self._peers.left(speaker)
        elif speaker != self._node:
            self._peers.alive(speaker, envelope.said_at)
        elif not self._canary.is_own(envelope):
            self._lose(f'another node is called "{self._node}" too: each needs a name of its own')
            self._trusted_from += SILENCE_MAX
        else:
            self._freshness.heard(envelope.said_at)
            is_late = not self._is_audible(envelope.said_at)
            if not (self._status.available or is_late or envelope.said_at < self._trusted_from):
                self._regain()

    def _regain(self) -> None:
        self._reasons.over()
        self._spool_word.doubt()
        self._status.set_available(True)
        self._disconnections.missed()
        users = self._users.names()
        self._introduce(users)
        self._reconciler.doubt(users)
