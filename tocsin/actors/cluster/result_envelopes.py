"""What a committed result means to the other nodes: the envelopes that say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from tocsin.persistence.store import (
    Changed,
    Expired,
    FanOut,
    LetterReplayed,
    Marked,
    Materialised,
    PreferencesSet,
    Released,
    Result,
    Subscribed,
)
from tocsin.protocol.envelopes import (
    Envelope,
    Joined,
    LogChange,
    LogHead,
    Recount,
    SharedPart,
    TopicAdvanced,
    encode_shared,
    topic_channel,
    user_channel,
)
from tocsin.protocol.notification import Standing

WHOLE_BYTES_MAX: Final = 1 << 20
"""Of one change, its copies together; beyond it one read by each hearer is cheaper than these."""


def tell_of(result: Result) -> Iterator[tuple[str, Envelope]]:
    """The channel and the envelope for everybody whom *result* concerns."""
    match result:
        case Changed():
            yield from _changed(result)
        case Materialised(fan_outs=fan_outs, recounted=users):
            for fan_out in fan_outs:
                yield from _fan_out(fan_out)
            for user in users:
                yield user_channel(user), Recount()
        case Marked(user=user, head=head):
            yield user_channel(user), LogHead(head)
        case PreferencesSet(user=user, head=head) | LetterReplayed(user=user, head=head):
            yield user_channel(user), LogHead(head)
        case Subscribed():
            for user, head in result.heads.items():
                yield user_channel(user), LogHead(head)
            if result.joined:
                joined = Joined(result.topic)
                for user in result.members:
                    yield user_channel(user), joined
        case Released(changes=changes):
            for changed in changes:
                yield from _changed(changed)
        case Expired(topics=topics, users=users):
            for topic in topics:
                yield topic_channel(topic), TopicAdvanced()
            for user in users:
                yield user_channel(user), Recount()
        case _:
            pass


def _changed(changed: Changed) -> Iterator[tuple[str, Envelope]]:
    for fan_out in changed.fan_outs:
        yield from _fan_out(fan_out)
    if changed.content.topic is not None and changed.standing != Standing.SCHEDULED:
        yield topic_channel(changed.content.topic), TopicAdvanced()


def _fan_out(fan_out: FanOut) -> Iterator[tuple[str, Envelope]]:
    content, states = fan_out.content, fan_out.states
    if len(content.document) * len(fan_out.positions) > WHOLE_BYTES_MAX:
        for position in fan_out.positions:
            yield user_channel(position.user), LogHead(position.sequence)
        return
    part = SharedPart(content.id, fan_out.change, content.document, content.expires_at)
    shared = msgspec.Raw(encode_shared(part))
    for position in fan_out.positions:
        user, sequence = position.user, position.sequence
        unread, unseen = position.unread, position.unseen
        own = states.get(user)
        if own is None:
            yield user_channel(user), LogChange(sequence, unread, unseen, shared)
        else:
            yield (
                user_channel(user),
                LogChange(sequence, unread, unseen, shared, own.state, own.seen_at, own.read_at),
            )
