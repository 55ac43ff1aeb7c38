"""What this node does about what others say: the same as if it had happened here.

The words of others are as good as an announcement of the storage actor's, no better: a session
takes a change only if it is exactly its next one, and otherwise reads the store. So nothing here
minds what comes twice, late or in another order.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from tocsin.actors.cluster.handover import Handover
from tocsin.actors.cluster.peers import Peers
from tocsin.actors.delivery.messages import (
    Acknowledged,
    ArrivedElsewhere,
    DeviceRemoved,
    Disconnect,
    Echoed,
    HereElsewhere,
    LogChanged,
    SharedChange,
    UserMessage,
)
from tocsin.actors.delivery.users import Users, shared_change
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime import MailboxFull
from tocsin.persistence.store import Position, RecipientState
from tocsin.protocol.closing import Closing
from tocsin.protocol.envelopes import (
    DeviceAcknowledged,
    DeviceArrived,
    DeviceGone,
    DeviceHere,
    DisconnectUser,
    Envelope,
    Joined,
    LogChange,
    LogHead,
    Recount,
    SessionSettled,
    SessionSought,
    TopicAdvanced,
    channel_topic,
    channel_user,
    read_shared,
)
from tocsin.protocol.rivals import rank_of

_ECHO_MAX: Final = 2.0
"""Seconds after which one's own word comes too late to say what came before what."""


class Listener:
    """See the module."""

    def __init__(
        self, node: str, users: Users, topics: Topics, peers: Peers, handover: Handover
    ) -> None:
        self._node = node
        self._handover = handover
        self._users = users
        self._topics = topics
        self._peers = peers
        self._shared = b""
        self._shared_change: SharedChange | None = None

    def hear(self, channel: str, speaker: str, envelope: Envelope) -> None:
        """*speaker*, perhaps this node, has said *envelope*; raises `Unreadable`."""
        user = channel_user(channel)
        if user is not None:
            self._hear_of_user(user, speaker, envelope)
            return
        match envelope:
            case TopicAdvanced():
                topic = channel_topic(channel)
                if topic is not None:
                    self._topics.advanced(topic)
            case DisconnectUser(user=user):
                self._tell_user(user, Disconnect(Closing.DISCONNECTED))
            case _:
                return

    def _hear_of_user(self, user: str, speaker: str, envelope: Envelope) -> None:
        match envelope:
            case LogChange():
                self._log_changed(user, envelope)
            case LogHead(head=head):
                self._users.head_moved(user, head)
            case Recount():
                self._users.recounted(user)
            case Joined(topic=topic):
                self._topics.subscribed(topic, (user,))
            case DeviceArrived():
                self._arrived(user, speaker, envelope)
            case DeviceHere():
                self._is_here(user, speaker, envelope)
            case DeviceAcknowledged(device=device, through=through, ids=ids, said_at=said_at):
                said_at = self._peers.our_time(speaker, said_at, said_at)
                with suppress(MailboxFull):
                    self._users.tell(user, Acknowledged(device, through, ids, said_at))
            case SessionSought() | SessionSettled():
                self._handover.hear(user, speaker, envelope)
            case DeviceGone(device=device):
                self._tell_user(user, DeviceRemoved(device))
            case _:
                return

    def _log_changed(self, user: str, envelope: LogChange) -> None:
        if self._users.find(user) is None:
            return
        shared = bytes(envelope.shared)
        if shared != self._shared or self._shared_change is None:
            part = read_shared(shared)
            self._shared = shared
            self._shared_change = shared_change(
                part.notification, part.change, part.document, part.expires_at
            )
        state = None
        if envelope.state is not None:
            state = RecipientState(envelope.state, envelope.seen_at, envelope.read_at)
        position = Position(user, envelope.sequence, envelope.unread, envelope.unseen)
        self._users.log_changed(user, LogChanged(self._shared_change, position, state))

    def _arrived(self, user: str, speaker: str, envelope: DeviceArrived) -> None:
        if speaker != self._node:
            self._tell_user(user, ArrivedElsewhere(envelope.device, envelope.head))
        else:
            self._echoed(user, envelope)

    def _is_here(self, user: str, speaker: str, envelope: DeviceHere) -> None:
        if speaker == self._node:
            # As good as its arrival, of which they may not have heard: whoever comes now is later.
            self._echoed(user, envelope)
            return
        since = self._peers.our_time(speaker, envelope.since, envelope.said_at)
        rank = rank_of(speaker, envelope.connection)
        self._tell_user(user, HereElsewhere(envelope.device, rank, since))

    def _echoed(self, user: str, own: DeviceArrived | DeviceHere) -> None:
        if trio.current_time() - own.said_at <= _ECHO_MAX:
            self._tell_user(user, Echoed(own.connection))

    def _tell_user(self, user: str, message: UserMessage) -> None:
        # Beyond the capacity: few, and nobody says them again.
        self._users.tell(user, message, forced=True)
