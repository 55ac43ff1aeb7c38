"""The bookkeeping of what is wanted and what a server has confirmed; and of what was heard."""

from __future__ import annotations

import pytest

from tests.persistence.services_kit import said
from tocsin.persistence.bus import Gap
from tocsin.persistence.bus.heard_queue import HeardQueue
from tocsin.persistence.redis.subscriptions import Subscriptions


@pytest.fixture
def subscriptions():
    return Subscriptions()


@pytest.fixture
def told():
    """The calls of `when_confirmed`, in order."""
    return []


def test_only_what_is_new_needs_to_be_asked_for(subscriptions):
    assert subscriptions.want(["a", "b", "a"]) == ["a", "b"]
    assert subscriptions.want(["b", "c"]) == ["c"]
    assert subscriptions.drop(["b", "b", "unknown"]) == ["b"]
    assert subscriptions.wanted == ("a", "c")
    assert "b" not in subscriptions


def test_a_waiter_is_told_when_the_last_channel_is_confirmed(subscriptions, told):
    subscriptions.asked(["a", "b", "c"])
    subscriptions.when_confirmed(["a", "b"], told.append)
    subscriptions.confirmed("a")
    subscriptions.confirmed("c")
    assert told == []
    subscriptions.confirmed("b")
    assert told == [True]


def test_a_confirmed_channel_is_not_waited_for(subscriptions, told):
    subscriptions.asked(["a"])
    subscriptions.confirmed("a")
    subscriptions.when_confirmed(["a", "a"], told.append)
    assert told == [True]


def test_two_may_wait_for_the_same_channel(subscriptions, told):
    subscriptions.asked(["a"])
    subscriptions.when_confirmed(["a"], told.append)
    subscriptions.when_confirmed(["a", "a"], told.append)
    subscriptions.confirmed("a")
    assert told == [True, True]


def test_a_channel_that_came_went_and_came_is_confirmed_by_the_second_word(subscriptions, told):
    subscriptions.asked(["a"])
    subscriptions.asked(["a"])
    subscriptions.when_confirmed(["a"], told.append)
    subscriptions.confirmed("a")
    assert told == []
    subscriptions.confirmed("a")
    assert told == [True]


def test_with_the_connection_all_who_wait_are_told_so_once(subscriptions, told):
    subscriptions.want(["a", "b"])
    subscriptions.asked(["a", "b"])
    subscriptions.when_confirmed(["a", "b"], told.append)
    subscriptions.lost()
    assert told == [False]
    assert subscriptions.wanted == ("a", "b")


async def test_a_reader_that_does_not_keep_up_is_told_where_the_gap_is():
    queue = HeardQueue(messages_max=3)
    queue.put(Gap(("old",)))
    for each in [*said("a", b"1"), *said("b", b"2"), *said("c", b"3")]:
        queue.put(each)
    assert await queue.take() == [Gap(("old", "a", "b")), *said("c", b"3")]


async def test_the_queue_is_bounded_in_bytes_too():
    queue = HeardQueue(bytes_max=10)
    for each in [*said("a", b"1234"), *said("b", b"123456"), *said("c", b"1"), *said("d", b"2")]:
        queue.put(each)
    assert await queue.take() == [Gap(("a", "b")), *said("c", b"1"), *said("d", b"2")]
    queue.put(said("e", b"1234567890")[0])
    assert await queue.take() == said("e", b"1234567890")
