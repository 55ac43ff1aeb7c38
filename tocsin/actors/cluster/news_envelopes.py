"""News as envelopes, which the nodes of a cluster write to one another, and envelopes as news."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from tocsin.protocol.cluster.envelopes import (
    DeviceAcknowledged,
    DeviceGone,
    Joined,
    LogChange,
    LogHead,
    NewsEnvelope,
    Recount,
    TopicAdvanced,
    channel_topic,
    channel_user,
    encode_shared,
    read_shared,
    topic_channel,
    user_channel,
)
from tocsin.protocol.log.news import (
    AckStored,
    CountersChanged,
    DeviceForgotten,
    ExpirySet,
    LogAdvanced,
    LogAppended,
    News,
    Position,
    RecipientState,
    SharedPart,
    TopicAppended,
    TopicJoined,
    UserAttached,
)

WHOLE_BYTES_MAX: Final = 1 << 20
"""Bytes of one change, its copies together; beyond it a read by each node costs less."""


def envelopes_of(
    news: News, departed_at: float | None = None, trace: str | None = None
) -> Iterator[tuple[str, NewsEnvelope]]:
    """The channels and envelopes for all users that *news* concern on other nodes.

    A change departed at *departed_at* (Trio time), if that is known; *trace* is its `traceparent`.
    """
    match news:
        case LogAppended():
            yield from _appended(news, departed_at, trace)
        case LogAdvanced(user=user, head=head):
            yield user_channel(user), LogHead(head)
        case CountersChanged(users=users):
            for user in users:
                yield user_channel(user), Recount()
        case TopicAppended(topic=topic):
            yield topic_channel(topic), TopicAdvanced()
        case TopicJoined(topic=topic, users=users):
            joined = Joined(topic)
            for user in users:
                yield user_channel(user), joined
        case AckStored(user=user):
            acknowledged = DeviceAcknowledged(news.device, news.through, news.ids, news.session)
            yield user_channel(user), acknowledged
        case DeviceForgotten(user=user, device=device):
            yield user_channel(user), DeviceGone(device)
        case UserAttached() | ExpirySet():
            # An attachment matters to this node only; other nodes' schedulers find an expiry in
            # the store.
            return
        case _:
            assert_never(news)


def _appended(
    news: LogAppended, departed_at: float | None, trace: str | None
) -> Iterator[tuple[str, NewsEnvelope]]:
    positions, states = news.positions, news.states
    if len(news.shared.document) * len(positions) > WHOLE_BYTES_MAX:
        for position in positions:
            yield user_channel(position.user), LogHead(position.sequence)
        return
    shared = msgspec.Raw(encode_shared(news.shared))
    for position in positions:
        user = position.user
        sequence, unread, unseen = position.sequence, position.unread, position.unseen
        state = seen_at = read_at = None
        if (own := states.get(user)) is not None:
            state, seen_at, read_at = own.state, own.seen_at, own.read_at
        own_part = sequence, unread, unseen, shared, state, seen_at, read_at
        yield user_channel(user), LogChange(*own_part, departed_at, trace)


class NewsReader:
    """Reads envelopes; the shared part of a change is read once for copies that come together."""

    def __init__(self) -> None:
        self._shared = b""
        self._part: SharedPart | None = None

    def read(self, channel: str, envelope: NewsEnvelope) -> News | None:
        """The news of *envelope*; `None` if it says nothing about *channel*.

        Raises `Unreadable` if the shared part of a change cannot be read.
        """
        if (user := channel_user(channel)) is not None:
            return self._of_user(user, envelope)
        if (topic := channel_topic(channel)) is not None and isinstance(envelope, TopicAdvanced):
            return TopicAppended(topic)
        return None

    def _of_user(self, user: str, envelope: NewsEnvelope) -> News | None:
        match envelope:
            case LogChange():
                return self._of_change(user, envelope)
            case LogHead(head=head):
                return LogAdvanced(user, head)
            case Recount():
                return CountersChanged((user,))
            case Joined(topic=topic):
                return TopicJoined(topic, (user,))
            case DeviceAcknowledged(device=device, through=through, ids=ids, session=session):
                return AckStored(user, device, through, ids, session)
            case DeviceGone(device=device):
                return DeviceForgotten(user, device)
            case TopicAdvanced():
                return None
            case _:
                assert_never(envelope)

    def _of_change(self, user: str, envelope: LogChange) -> LogAppended:
        shared = bytes(envelope.shared)
        if shared != self._shared or self._part is None:
            self._shared, self._part = shared, read_shared(shared)
        position = Position(user, envelope.sequence, envelope.unread, envelope.unseen)
        states = {}
        if envelope.state is not None:
            own = RecipientState(envelope.state, envelope.seen_at, envelope.read_at)
            states[user] = own
        return LogAppended(self._part, (position,), states)
