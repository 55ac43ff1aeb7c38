"""The node's knowledge of its cluster, and its outbox: the table behind the bridge.

Other actors call it (`Neighbours`) whether or not the bridge is running. The table puts their
envelopes into the outbox and notes the channels that they want heard; the bridge, or its next
incarnation, does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import structlog
import trio

from tocsin.actors.cluster.actor_trees import ActorTrees, Tree
from tocsin.actors.cluster.canary import Canary
from tocsin.actors.cluster.channels import Channels
from tocsin.actors.cluster.disconnections import Disconnections
from tocsin.actors.cluster.freshness import Freshness
from tocsin.actors.cluster.handover import Handover
from tocsin.actors.cluster.news_envelopes import envelopes_of
from tocsin.actors.cluster.outbox import Outbox
from tocsin.actors.cluster.peers import Peers
from tocsin.actors.cluster.spool_agreement import SpoolWord
from tocsin.actors.cluster.trust import Trust
from tocsin.actors.delivery.messages import Listening, UserMessage
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.health import BusStatus
from tocsin.actors.reasons import Reasons
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.world import World
from tocsin.persistence.bus import BusRefusals
from tocsin.protocol.cluster.envelopes import (
    CONTROL,
    DeviceArrived,
    DeviceHere,
    DisconnectUser,
    Envelope,
    NewsEnvelope,
    Spooling,
    SpoolingHeard,
    topic_channel,
    user_channel,
)
from tocsin.protocol.cluster.seals import Seals
from tocsin.protocol.cluster.sightings import (
    SIGHTINGS_CHANNEL,
    ActorsShown,
    ActorsSought,
    Onlooking,
    Sighted,
    Spectating,
)
from tocsin.protocol.log.news import LogAppended, News
from tocsin.protocol.notifications.notification import EVERYONE

logger = structlog.get_logger(__name__)

SILENCE_MAX: Final = 3.0
"""Seconds without a sign of life after which a node is taken not to be heard."""
MISSING_MAX: Final = 120.0
"""Seconds for which a node that fell silent is missed; after that it is taken for dead."""


class ClusterState:
    """The `Neighbours` of the node called *node*; see the module. Its parts are for the bridge.

    *doubt* is called whenever other nodes have begun to spool, or may have begun unheard.
    """

    def __init__(
        self,
        node: str,
        status: BusStatus,
        *,
        world: World,
        seals: Seals,
        refusals: BusRefusals,
        doubt: Callable[[], None],
        timing: Timing | None = None,
        snapshot: Callable[[int], Tree] = lambda children_max: (),
    ) -> None:
        self.node = node
        self.entropy = world.entropy
        self.is_alone = False
        self.timing = timing or Timing()
        self.status = status
        status.statistics.refused = refusals.counts
        self.reasons = Reasons(logger, "bus")
        self.trust = Trust(node, world, seals, refusals)
        self.canary = Canary()
        self.freshness = Freshness(SILENCE_MAX)
        self.trusted_from = -math.inf
        """When (Trio time) the signs of life begin that prove, if they come back, that it hears."""
        self.peers = Peers(SILENCE_MAX, MISSING_MAX)
        self.outbox = Outbox()
        self.channels = Channels()
        self.doubtful: WorkList[str] = WorkList()
        """Users of whom envelopes may have gone unheard."""
        self.disconnections = Disconnections(lambda user: self.say(CONTROL, DisconnectUser(user)))
        self.handover = Handover(node, self.peers, self.say_shortly)
        self.settle = self.handover.settle
        self.spool_word = SpoolWord(node, self.peers, self.say_to_all, doubt)
        self.spooling = self.spool_word.spread
        self.to_say = Bell()
        """Rings when there is an envelope in the outbox."""
        self.store_reached = Bell()
        """Rings when the store is there, and with it the nodes' secret."""
        self.timing.spectators.bus = self
        self.actor_trees = ActorTrees(node, self, snapshot)
        self.actors_of = self.actor_trees.ask
        self.channels.want(CONTROL)
        self.channels.want(topic_channel(EVERYONE))

    # --- For the other actors; `Neighbours` describes these methods ------------------------------

    @property
    def audible(self) -> int:
        """As `Neighbours.audible`."""
        return self.peers.audible

    def listen(self, user: str, ref: Ref[UserMessage]) -> bool:
        def ready() -> None:
            with suppress(Exception):
                ref.tell_beyond(Listening())

        heard = self.channels.want(user_channel(user), ready)
        return heard or not self.status.available

    def leave(self, user: str) -> None:
        self.channels.release(user_channel(user))

    def watch_topic(self, topic: str) -> None:
        self.channels.want(topic_channel(topic))

    def leave_topic(self, topic: str) -> None:
        self.channels.release(topic_channel(topic))

    def announce(self, news: Sequence[News]) -> None:
        write, put = self.trust.write, self.outbox.put
        for each in news:
            for channel, envelope in self._envelopes_of(each):
                put(channel, write(envelope))
        self.to_say.ring()

    def _envelopes_of(self, news: News) -> Iterator[tuple[str, NewsEnvelope]]:
        if not isinstance(news, LogAppended):
            return envelopes_of(news)
        notification = news.shared.notification
        departure = self.timing.find(notification)
        departed_at = None if departure is None else departure.at
        return envelopes_of(news, departed_at, self.timing.trace_of(notification))

    def device_arrived(self, user: str, device: str, connection: str, head: int) -> None:
        self.say_shortly(user, DeviceArrived(device, connection, head, trio.current_time()))

    def device_here(self, user: str, device: str, connection: str, since: float) -> None:
        self.say_shortly(user, DeviceHere(device, connection, since, trio.current_time()))

    def disconnect(self, user: str) -> None:
        self.disconnections.disconnect(user)

    @property
    def heard(self) -> list[str]:
        """As `Neighbours.heard`."""
        return self.peers.heard

    @property
    def is_current(self) -> bool:
        return self.freshness.is_fresh(trio.current_time())

    def store_changed(self, available: bool) -> None:
        """Have the bridge see whether the nodes' secret is known, which the store brings."""
        self.store_reached.ring()

    # --- For operators who look on -------------------------------------------------------

    def look_on(self, speaker: str, word: Onlooking) -> None:
        """Take a *word* about operators, of the node called *speaker*."""
        if isinstance(word, (Spectating, Sighted)):
            self.timing.spectators.hear(speaker, word)
        else:
            self.actor_trees.hear(speaker, word)

    def say_to_all(self, word: Spooling | SpoolingHeard | Spectating | ActorsSought) -> None:
        # Fleeting: a question is asked again as long as it matters, and a late one is of no use.
        self.say(CONTROL, word, fleeting=True)

    def say_sighted(self, word: Sighted | ActorsShown) -> None:
        self.say(SIGHTINGS_CHANNEL, word, fleeting=True)

    def watch_sightings(self) -> None:
        self.channels.want(SIGHTINGS_CHANNEL)

    def leave_sightings(self) -> None:
        self.channels.release(SIGHTINGS_CHANNEL)

    # --- Saying ----------------------------------------------------------------------------------

    def say(self, channel: str, envelope: Envelope, *, fleeting: bool = False) -> None:
        """Have *envelope* said on *channel*; if it is *fleeting*, it is said soon or not at all."""
        self.outbox.put(channel, self.trust.write(envelope), fleeting=fleeting)
        self.to_say.ring()

    def say_shortly(self, user: str, envelope: Envelope) -> None:
        """Say a fleeting *envelope* to the nodes that hear of *user*."""
        self.say(user_channel(user), envelope, fleeting=True)
