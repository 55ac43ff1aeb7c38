"""The news of each result: the changes that a committed command has made for other actors.

The match names every result, so that a result which is added later must state its news here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from tocsin.persistence.store.commands import (
    Changed,
    Done,
    FanOut,
    KeyReused,
    NotActive,
    NotFound,
    Overdue,
    PatchRefused,
    Replayed,
    RevisionMismatch,
    TooMany,
)
from tocsin.persistence.store.escalation_commands import Escalated, SendsClaimed
from tocsin.persistence.store.key_commands import StoredTicket
from tocsin.persistence.store.letter_commands import SendSettled
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.sink_commands import SinksClaimed
from tocsin.persistence.store.upkeep_commands import Expired, LetterReplayed, Purged, Released
from tocsin.persistence.store.user_commands import (
    AcknowledgedPartly,
    Attached,
    BeyondHead,
    Marked,
    Materialised,
    PreferencesSet,
    Subscribed,
    TopicClosed,
    TopicSet,
)
from tocsin.protocol.log.news import (
    AckStored,
    CountersChanged,
    DeviceForgotten,
    ExpirySet,
    LogAdvanced,
    LogAppended,
    News,
    SharedPart,
    TopicAppended,
    TopicJoined,
    UserAttached,
)
from tocsin.protocol.notifications.notification import Standing


def news_of(result: Result) -> Sequence[News]:
    """The changes of *result*, in the order of each user's log; none for most results."""
    match result:
        case Changed():
            return _of_change(result)
        case AckStored() | DeviceForgotten():
            return (result,)
        case Attached(user=user, topics=topics):
            return (UserAttached(user, topics),)
        case Marked(user=user, head=head) | PreferencesSet(user=user, head=head):
            # Also for a mark that changed nothing: bringing the user up to date before it may have
            # moved the head.
            return (LogAdvanced(user, head),)
        case Materialised(fan_outs=fan_outs, recounted=users):
            return [*(_appended(each) for each in fan_outs), *_recounted(users)]
        case Subscribed():
            return [*_of_subscription(result)]
        case Released(changes=changes):
            return [news for changed in changes for news in _of_change(changed)]
        case Expired(topics=topics, users=users):
            return [*(TopicAppended(topic) for topic in topics), *_recounted(users)]
        case LetterReplayed(user=user, head=head, expires_at=at):
            moved = LogAdvanced(user, head)
            return (moved,) if at is None else (moved, ExpirySet(at))
        case (
            Replayed()
            | KeyReused()
            | Overdue()
            | NotFound()
            | RevisionMismatch()
            | NotActive()
            | PatchRefused()
            | Purged()
            | BeyondHead()
            | AcknowledgedPartly()
            | TopicClosed()
            | TopicSet()
            | StoredTicket()
            | TooMany()
            | Escalated()
            | SendsClaimed()
            | SendSettled()
            | SinksClaimed()
            | Done()
        ):
            return ()
        case _:
            assert_never(result)


def _of_change(changed: Changed) -> list[News]:
    content = changed.content
    # No actor waits for the acknowledgments of a notification that this one replaces.
    news: list[News] = [
        _appended(each, awaited=each.content.id == content.id) for each in changed.fan_outs
    ]
    if content.topic is not None and changed.standing != Standing.SCHEDULED:
        news.append(TopicAppended(content.topic))
    return news


def _appended(fan_out: FanOut, *, awaited: bool = False) -> LogAppended:
    content = fan_out.content
    shared = SharedPart(content.id, fan_out.change, content.document, content.expires_at)
    return LogAppended(shared, fan_out.positions, fan_out.states, awaited)


def _recounted(users: tuple[str, ...]) -> tuple[News, ...]:
    return (CountersChanged(users),) if users else ()


def _of_subscription(subscribed: Subscribed) -> Iterator[News]:
    for user, head in subscribed.heads.items():
        yield LogAdvanced(user, head)
    if subscribed.joined:
        yield TopicJoined(subscribed.topic, subscribed.members)
