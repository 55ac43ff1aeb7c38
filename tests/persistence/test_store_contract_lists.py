"""Every store's lists of topics and preferences."""

from __future__ import annotations

from tests.persistence.desk_kit import Desk, publish
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.queries import (
    FindHead,
    Head,
    ListSubscribers,
    ListSubscriptions,
    Preferences,
    ReadPreferences,
    SubscribedTopics,
    Subscribers,
)
from tocsin.persistence.store.user_commands import SetPreferences, Subscribe, Unsubscribe


async def subscribe(desk: Desk, topic: str, *users: str) -> None:
    await desk.write(Subscribe(topic, users, 5))


async def test_a_user_has_the_topics_that_they_are_in(desk):
    for topic in ("news", "B", "a", "left"):
        await subscribe(desk, topic, "ann")
    await subscribe(desk, "sport", "bob")
    await desk.write(Unsubscribe("left", ("ann",), 6))

    assert await desk.read(*map(ListSubscriptions, ("ann", "bob", "nobody"))) == [
        *(SubscribedTopics(("B", "a", "news")), SubscribedTopics(("sport",)), SubscribedTopics(()))
    ]


async def test_the_topics_that_a_user_has_left_are_listed_if_asked_for(desk):
    for topic in ("news", "left", "never-used"):
        await subscribe(desk, topic, "ann")
    await desk.write(publish(topic="left"))
    await desk.write(Unsubscribe("left", ("ann",), 6), Unsubscribe("never-used", ("ann",), 6))

    # A topic without entries is forgotten when it is left.
    assert await desk.read(
        ListSubscriptions("ann", left_too=True), ListSubscriptions("ann"), FindHead("ann")
    ) == [
        SubscribedTopics(("left", "news")),
        SubscribedTopics(("news",)),
        Head(1, Counters(1, 1), False, topics=2),
    ]


async def test_the_users_in_a_topic_are_listed_page_by_page(desk):
    await subscribe(desk, "news", "d", "B", "a", "left", "c", "e")
    await subscribe(desk, "sport", "other")
    await desk.write(Unsubscribe("news", ("left",), 6))

    assert await desk.read(
        ListSubscribers("news", 2, None),
        ListSubscribers("news", 2, "a"),
        ListSubscribers("news", 2, "d"),
        ListSubscribers("news", 5, None),
        ListSubscribers("nothing", 5, None),
    ) == [
        Subscribers(("B", "a"), more=True),
        Subscribers(("c", "d"), more=True),
        Subscribers(("e",), more=False),
        Subscribers(("B", "a", "c", "d", "e"), more=False),
        Subscribers((), more=False),
    ]


async def test_preferences_are_read_as_they_were_last_set(desk):
    await desk.write(SetPreferences("ann", {"old": False}, {"news": True}, 5))
    await desk.write(SetPreferences("ann", {"ads": False, "bills": True}, {"news": False}, 6))
    await desk.write(SetPreferences("bob", {"ads": True}, {}, 6))

    assert await desk.read(*map(ReadPreferences, ("ann", "bob", "nobody"))) == [
        Preferences({"ads": False, "bills": True}, {"news": False}),
        Preferences({"ads": True}, {}),
        Preferences({}, {}),
    ]
