"""Topics and their subscribers: the producers' part."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.queries import FindTopic, ListSubscribers, TopicInfo
from tocsin.persistence.store.user_commands import (
    SUBSCRIPTIONS_MAX,
    SetTopic,
    Subscribe,
    Subscribed,
    TopicClosed,
    TopicSet,
    Unsubscribe,
)
from tocsin.protocol.notifications.notification import UserId
from tocsin.protocol.refusal import refuse
from tocsin.server.api import answers
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.marking import bring_all_up_to_date

operations = Operations("topics")


class SubscribersQuery(UrlQuery, frozen=True, kw_only=True):
    """Which of a topic's subscribers."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: UserId | UnsetType = UNSET


class NewSubscribers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Users to add; one who is named twice counts once."""

    users: Annotated[list[UserId], Meta(min_length=1, max_length=1000)]


class TopicRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether users subscribe themselves as well, or, where it is closed, only producers."""

    closed: bool


@operations.define(
    *("GET", "/v1/topics/{topic}", "Show a topic"),
    caller=Caller.NOTIFY,
    answers={200: answers.TopicRecord},
)
async def show_topic(call: Call[UrlQuery, None], topic: str) -> Answer:
    """Topics need not be made: one that nobody knows is open, and nobody is in it."""
    found = await call.services.read(FindTopic(topic))
    return Answer(_record(found))


@operations.define(
    *("PUT", "/v1/topics/{topic}", "Close a topic, or open it"),
    caller=Caller.NOTIFY,
    body=TopicRequest,
    answers={200: answers.TopicRecord},
)
async def set_topic(call: Call[UrlQuery, TopicRequest], topic: str) -> Answer:
    """Users do not enter a closed topic by themselves. Users who are in it stay, and may leave."""
    done = await call.services.write(SetTopic(topic, call.body.closed))
    return Answer(_record(done))


@operations.define(
    *("GET", "/v1/topics/{topic}/subscribers", "List the subscribers of a topic"),
    caller=Caller.NOTIFY,
    query=SubscribersQuery,
    answers={200: answers.SubscribersPage},
)
async def list_subscribers(call: Call[SubscribersQuery, None], topic: str) -> Answer:
    """By name. A topic that nobody is in has none; topics need not be made."""
    query = ListSubscribers(topic, call.query.limit, given(call.query.after))
    page = await call.services.read(query)
    following = page.users[-1] if page.more else None
    return Answer(answers.SubscribersPage(subscribers=list(page.users), next=following))


@operations.define(
    *("POST", "/v1/topics/{topic}/subscribers", "Add up to 1000 subscribers to a topic"),
    caller=Caller.NOTIFY,
    body=NewSubscribers,
    answers={200: answers.SubscribersAdded},
)
async def add_subscribers(call: Call[UrlQuery, NewSubscribers], topic: str) -> Answer:
    """They get what is published from now on. Those who are in too many topics are refused."""
    subscribed = await subscribe(call, topic, tuple(dict.fromkeys(call.body.users)))
    added = answers.SubscribersAdded(
        added=len(subscribed.changed), refused=list(subscribed.refused)
    )
    return Answer(added)


@operations.define(
    *("PUT", "/v1/topics/{topic}/subscribers/{user}", "Add a subscriber to a topic"),
    caller=Caller.NOTIFY,
    problems=("conflict",),
    answers={204: None},
)
async def add_subscriber(call: Call[UrlQuery, None], topic: str, user: str) -> Answer:
    """The user gets what is published from now on; again is no error."""
    await subscribe_one(call, topic, user)
    return NO_CONTENT


@operations.define(
    *("DELETE", "/v1/topics/{topic}/subscribers/{user}", "Remove a subscriber from a topic"),
    caller=Caller.NOTIFY,
    answers={204: None},
)
async def remove_subscriber(call: Call[UrlQuery, None], topic: str, user: str) -> Answer:
    """The user's notifications stay, still updated and withdrawn; again is no error."""
    await unsubscribe_one(call, topic, user)
    return NO_CONTENT


def _record(topic: TopicInfo | TopicSet) -> answers.TopicRecord:
    return answers.TopicRecord(
        topic=topic.topic, closed=topic.closed, subscribers=topic.subscribers
    )


async def subscribe_one(
    call: Call[UrlQuery, None], topic: str, user: str, *, by_user: bool = False
) -> None:
    """Put *user* into *topic*; raises `Refused`: `conflict` for one who is in too many,
    `topic_closed` for one who may not enter by themselves (*by_user*). Cancelled, the user may be
    in it.
    """
    subscribed = await subscribe(call, topic, (user,), by_user=by_user)
    if subscribed.refused:
        raise refuse("conflict", f"A user is in at most {SUBSCRIPTIONS_MAX} topics.")


async def unsubscribe_one(call: Call[UrlQuery, None], topic: str, user: str) -> None:
    """Take *user* out of *topic*; raises `Refused`. Cancelled, the user may be out of it."""
    await bring_all_up_to_date(call.services, (user,))
    await call.services.write(Unsubscribe(topic, (user,), call.now_ms))


async def subscribe(
    call: Call[Any, Any], topic: str, users: tuple[str, ...], *, by_user: bool = False
) -> Subscribed:
    """Put *users* into *topic*; raises `Refused`. Cancelled, they may be in it."""
    await bring_all_up_to_date(call.services, users)
    subscribed = await call.services.write(Subscribe(topic, users, call.now_ms, by_user))
    if isinstance(subscribed, TopicClosed):
        raise refuse("topic_closed", "Its producers decide who is in this topic; ask them.")
    return subscribed
