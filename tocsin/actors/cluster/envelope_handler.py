"""The effect of the other nodes' envelopes on this node.

News are dispatched as if the change had been committed here (`announcer`). The other envelopes are
about connections of a user's devices: the nodes together see to it that each device keeps one only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import trio

from tocsin.actors.cluster.handover import Handover
from tocsin.actors.cluster.news_envelopes import NewsReader
from tocsin.actors.cluster.peers import Peers
from tocsin.actors.delivery.messages import (
    ArrivedElsewhere,
    Disconnect,
    Echoed,
    HereElsewhere,
    UserMessage,
)
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.envelopes import (
    DeviceAcknowledged,
    DeviceArrived,
    DeviceEnvelope,
    DeviceGone,
    DeviceHere,
    DisconnectUser,
    Joined,
    LogChange,
    LogHead,
    NewsEnvelope,
    Recount,
    SessionSettled,
    SessionSought,
    TopicAdvanced,
    channel_user,
)
from tocsin.protocol.delivery.presence import ECHO_MAX
from tocsin.protocol.delivery.rivals import rank_of
from tocsin.protocol.log.news import LogAppended, News


class EnvelopeHandler:
    """Handles envelopes for the node called *node*; *dispatch* gets the news. See the module."""

    def __init__(
        self,
        node: str,
        users: Users,
        peers: Peers,
        handover: Handover,
        dispatch: Callable[[News], None],
        timing: Timing,
    ) -> None:
        self._node = node
        self._handover = handover
        self._users = users
        self._peers = peers
        self._dispatch = dispatch
        self._timing = timing
        self._reader = NewsReader()

    def hear(
        self, channel: str, speaker: str, envelope: NewsEnvelope | DeviceEnvelope | DisconnectUser
    ) -> None:
        """Take *envelope*, which *speaker* (perhaps this node) has said on *channel*.

        Raises `Unreadable`.
        """
        match envelope:
            case (
                LogChange()
                | LogHead()
                | Recount()
                | TopicAdvanced()
                | Joined()
                | DeviceAcknowledged()
                | DeviceGone()
            ):
                # These first: nearly all envelopes are of these types.
                if (news := self._reader.read(channel, envelope)) is not None:
                    if type(envelope) is LogChange and type(news) is LogAppended:
                        self._departed(speaker, news, envelope)
                    self._dispatch(news)
            case DisconnectUser(user=user):
                self._tell_user(user, Disconnect(Closing.DISCONNECTED))
            case DeviceArrived() | DeviceHere() | SessionSought() | SessionSettled():
                if (of := channel_user(channel)) is not None:
                    self._hear_of_device(of, speaker, envelope)
            case _:
                assert_never(envelope)

    def _departed(self, speaker: str, news: LogAppended, change: LogChange) -> None:
        if (at := change.departed_at) is not None:
            ours = self._peers.our_time(speaker, at, at)
            self._timing.departed_elsewhere(news.shared.notification, ours, change.trace)

    def _hear_of_device(self, user: str, speaker: str, envelope: DeviceEnvelope) -> None:
        match envelope:
            case DeviceArrived():
                self._arrived(user, speaker, envelope)
            case DeviceHere():
                self._is_here(user, speaker, envelope)
            case SessionSought() | SessionSettled():
                self._handover.hear(user, speaker, envelope)
            case _:
                assert_never(envelope)

    def _arrived(self, user: str, speaker: str, envelope: DeviceArrived) -> None:
        if speaker != self._node:
            self._tell_user(user, ArrivedElsewhere(envelope.device, envelope.head))
        else:
            self._echoed(user, envelope)

    def _is_here(self, user: str, speaker: str, envelope: DeviceHere) -> None:
        if speaker == self._node:
            # This counts as its arrival, of which the others may not have heard: a device that
            # arrives elsewhere from now on is later.
            self._echoed(user, envelope)
            return
        since = self._peers.our_time(speaker, envelope.since, envelope.said_at)
        rank = rank_of(speaker, envelope.connection)
        self._tell_user(user, HereElsewhere(envelope.device, rank, since))

    def _echoed(self, user: str, own: DeviceArrived | DeviceHere) -> None:
        if trio.current_time() - own.said_at <= ECHO_MAX:
            self._tell_user(user, Echoed(own.connection))

    def _tell_user(self, user: str, message: UserMessage) -> None:
        # Beyond the capacity: such envelopes are few, and are not repeated.
        self._users.tell(user, message, forced=True)
