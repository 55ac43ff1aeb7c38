"""The contract of stores for closed topics: users do not enter them by themselves."""

from __future__ import annotations

import trio

from tests.persistence.desk_kit import START_OF_TIME, Desk
from tocsin.persistence.store.queries import FindTopic, ListSubscribers, Subscribers, TopicInfo
from tocsin.persistence.store.user_commands import (
    SetTopic,
    Subscribe,
    Subscribed,
    TopicClosed,
    TopicSet,
    Unsubscribe,
)


def wish(user: str, topic: str = "news") -> Subscribe:
    """A user's own."""
    return Subscribe(topic, (user,), START_OF_TIME, by_user=True)


async def members(desk: Desk, topic: str = "news") -> tuple[str, ...]:
    return (await desk.ask(ListSubscribers(topic, 100, None), Subscribers)).users


async def test_a_topic_that_nobody_knows_is_open_and_empty(desk):
    assert await desk.read(FindTopic("news")) == [TopicInfo("news", False, 0)]
    assert await desk.one(wish("ann"), Subscribed)
    assert await desk.read(FindTopic("news")) == [TopicInfo("news", False, 1)]


async def test_users_do_not_enter_a_closed_one_and_producers_put_them_in(desk):
    assert await desk.one(SetTopic("news", True), TopicSet) == TopicSet("news", True, 0)
    assert await desk.one(wish("ann"), TopicClosed) == TopicClosed("news")
    assert await members(desk) == ()

    assert (await desk.subscribe("news", "bob")).changed == ("bob",)
    assert await members(desk) == ("bob",)
    assert (await desk.one(wish("ann", "sport"), Subscribed)).changed == ("ann",)


async def test_a_subscriber_of_a_closed_topic_stays_and_may_leave(desk):
    await desk.subscribe("news", "ann", "bob")
    assert await desk.one(SetTopic("news", True), TopicSet) == TopicSet("news", True, 2)
    assert await members(desk) == ("ann", "bob")

    assert (await desk.unsubscribe("news", "ann")).changed == ("ann",)
    assert await desk.one(wish("ann"), TopicClosed)
    # Also again for who is in it: it is not theirs to ask for.
    assert await desk.one(wish("bob"), TopicClosed)
    assert await members(desk) == ("bob",)


async def test_it_can_be_opened_again(desk):
    await desk.write(SetTopic("news", True), SetTopic("news", False))
    assert await desk.one(wish("ann"), Subscribed)


async def test_it_stays_closed_when_everybody_has_left(desk):
    await desk.write(SetTopic("news", True))
    await desk.subscribe("news", "ann")
    await desk.write(Unsubscribe("news", ("ann",), START_OF_TIME))
    assert await desk.read(FindTopic("news")) == [TopicInfo("news", True, 0)]
    assert await desk.one(wish("ann"), TopicClosed)


async def test_in_one_transaction_what_was_asked_first_holds_first(desk):
    results = await desk.write(
        wish("ann"), SetTopic("news", True), wish("bob"), SetTopic("news", False), wish("cy")
    )
    assert [type(result) for result in results] == [
        *(Subscribed, TopicSet, TopicClosed, TopicSet, Subscribed)
    ]
    assert await members(desk) == ("ann", "cy")


async def test_only_users_who_asked_before_the_topic_closed_are_let_in(desk):
    let_in: list[str] = []

    async def enter(user: str) -> None:
        if isinstance((await desk.write(wish(user)))[0], Subscribed):
            let_in.append(user)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(enter, f"user-{number}")
        nursery.start_soon(desk.write, SetTopic("news", True))
        nursery.start_soon(desk.write, SetTopic("other", True))
    assert await members(desk) == tuple(sorted(let_in))
    assert isinstance((await desk.write(wish("late")))[0], TopicClosed)
