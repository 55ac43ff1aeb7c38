"""A mailbox: first in, first out, bounded, one reader, as many senders as come."""

import math
from itertools import pairwise
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.mailbox import Mailbox


async def read_all(mailbox, into):
    while not mailbox.ended:
        message = await mailbox.get()
        if message is not None:
            into.append(message)


# --- order and room ------------------------------------------------------------------------------


async def test_messages_come_out_in_the_order_in_which_they_went_in():
    mailbox = Mailbox[Any](10)
    for number in range(10):
        mailbox.put_nowait(number)

    assert [await mailbox.get() for _ in range(10)] == list(range(10))


async def test_a_full_mailbox_refuses():
    mailbox = Mailbox[Any](2)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)

    with pytest.raises(MailboxFull):
        mailbox.put_nowait(3)
    assert len(mailbox) == 2


async def test_a_reply_is_admitted_beyond_the_capacity():
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    mailbox.put_reply(2)

    assert [await mailbox.get(), await mailbox.get()] == [1, 2]


async def test_a_sender_waits_for_room(autojump_clock):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    times = []

    async def send():
        await mailbox.put(2)
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await pass_time(3)
        assert await mailbox.get() == 1
        await settle()
    assert times == [3]
    assert await mailbox.get() == 2


async def test_senders_that_wait_for_room_are_served_in_turn_and_before_newcomers(nursery):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(0)
    for number in range(1, 6):
        nursery.start_soon(mailbox.put, number)
        await settle()

    read = []
    for _ in range(6):
        read.append(await mailbox.get())
        if len(read) < 6:
            with pytest.raises(MailboxFull):
                mailbox.put_nowait("newcomer")
    assert read == [0, 1, 2, 3, 4, 5]


async def test_replies_beyond_the_capacity_make_no_room_for_senders(nursery):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    mailbox.put_reply(2)
    nursery.start_soon(mailbox.put, 3)
    await settle()

    assert await mailbox.get() == 1
    assert len(mailbox) == 1
    assert await mailbox.get() == 2
    assert len(mailbox) == 1
    assert await mailbox.get() == 3


async def test_a_cancelled_put_has_not_added_anything(autojump_clock):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    with trio.move_on_after(1) as scope:
        await mailbox.put(2)

    assert scope.cancelled_caught
    assert await mailbox.get() == 1
    assert len(mailbox) == 0
    mailbox.put_nowait(3)
    assert await mailbox.get() == 3


async def test_a_put_under_a_cancelled_scope_adds_nothing_even_where_there_is_room():
    mailbox = Mailbox[Any](1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.put(1)

    assert len(mailbox) == 0


async def test_a_put_that_was_taken_before_it_was_cancelled_counts_once(nursery):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    outcomes = []

    async def send(task_status):
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await mailbox.put(2)
            outcomes.append("added")

    scope = await nursery.start(lambda task_status: send(task_status))
    await settle()
    assert await mailbox.get() == 1
    scope.cancel()
    await settle()

    assert outcomes == ["added"]
    assert await mailbox.get() == 2
    assert len(mailbox) == 0


# --- waiting -------------------------------------------------------------------------------------


async def test_get_waits_until_its_deadline(autojump_clock):
    mailbox = Mailbox[Any](1)

    assert await mailbox.get(5) is None
    assert trio.current_time() == 5


async def test_get_returns_at_once_when_the_deadline_has_passed():
    mailbox = Mailbox[Any](1)

    assert await mailbox.get(-math.inf) is None
    assert not mailbox.ended


async def test_a_message_that_is_there_comes_before_a_deadline_that_has_passed():
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)

    assert await mailbox.get(-math.inf) == 1


async def test_a_deadline_that_moves_is_kept_to_the_point(autojump_clock):
    mailbox = Mailbox[Any](1)
    woken = []
    for deadline in [10, 4, 7, 20, 12]:
        assert await mailbox.get(deadline) is None
        woken.append(trio.current_time())

    assert woken == [10, 10, 10, 20, 20]


async def test_an_earlier_deadline_after_a_message_is_kept_and_so_is_a_later_one(
    autojump_clock, nursery
):
    mailbox = Mailbox[Any](1)

    async def sender():
        await pass_time(1)
        mailbox.put_nowait("first")
        await pass_time(1)
        mailbox.put_nowait("second")

    nursery.start_soon(sender)
    assert await mailbox.get(10) == "first"
    assert await mailbox.get(5) == "second"
    assert await mailbox.get(12) is None
    assert trio.current_time() == 12


async def test_a_message_at_the_instant_of_the_deadline_is_not_lost(autojump_clock, nursery):
    for instant in range(1, 50):
        mailbox = Mailbox[Any](1)

        async def sender(mailbox=mailbox, at=instant):
            await trio.sleep_until(at)
            mailbox.put_nowait("message")

        nursery.start_soon(sender)
        got = await mailbox.get(instant)
        assert got == "message" or await mailbox.get() == "message"


async def test_a_message_that_races_with_cancellation_is_not_lost(nursery):
    for order in ("message first", "cancel first"):
        mailbox = Mailbox[Any](1)
        got: list[Any] = []

        async def reader(task_status, mailbox=mailbox, got=got):
            with trio.CancelScope() as scope:
                task_status.started(scope)
                got.append(await mailbox.get())

        scope = await nursery.start(lambda task_status, reader=reader: reader(task_status))
        await settle()
        actions = [lambda mailbox=mailbox: mailbox.put_nowait("message"), scope.cancel]
        for act in actions if order == "message first" else reversed(actions):
            act()
        await settle()
        assert len(got) + len(mailbox) == 1


async def test_many_messages_at_once_wake_the_reader_once(nursery):
    mailbox = Mailbox[Any](10)
    read: list[Any] = []
    nursery.start_soon(read_all, mailbox, read)
    await settle()
    for number in range(5):
        mailbox.put_nowait(number)
    mailbox.close()
    await settle()

    assert read == [0, 1, 2, 3, 4]


async def test_a_busy_mailbox_does_not_starve_other_tasks(nursery):
    mailbox = Mailbox[Any](1000)
    for number in range(1000):
        mailbox.put_nowait(number)
    mailbox.close()
    read: list[Any] = []
    left = []

    async def other():
        while not mailbox.ended:
            left.append(len(mailbox))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(read_all, mailbox, read)
    nursery.start_soon(other)
    await settle()

    assert len(read) == 1000
    # Trio may run the reader last in one round and first in the next.
    assert max(before - after for before, after in pairwise(left)) <= 2 * 64


async def test_a_busy_mailbox_does_not_starve_its_own_deadline():
    mailbox = Mailbox[Any](1000)
    for number in range(1000):
        mailbox.put_nowait(number)

    gets = [await mailbox.get(-math.inf) for _ in range(200)]

    assert gets.count(None) >= 2
    assert [got for got in gets if got is not None] == list(range(200 - gets.count(None)))


# --- the end -------------------------------------------------------------------------------------


async def test_closing_lets_what_is_inside_be_read():
    mailbox = Mailbox[Any](2)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)
    mailbox.close()

    assert [await mailbox.get(), await mailbox.get()] == [1, 2]
    assert mailbox.ended
    assert await mailbox.get() is None


async def test_a_closed_mailbox_accepts_nothing():
    mailbox = Mailbox[Any](1)
    mailbox.close()

    for put in (mailbox.put_nowait, mailbox.put_reply):
        with pytest.raises(ActorStopped):
            put(1)
    with pytest.raises(ActorStopped):
        await mailbox.put(1)


async def test_a_full_and_closed_mailbox_says_that_it_is_closed():
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(1)
    mailbox.close()

    with pytest.raises(ActorStopped):
        mailbox.put_nowait(2)


async def test_closing_wakes_the_reader(nursery):
    mailbox = Mailbox[Any](1)
    got = []

    async def reader():
        got.append(await mailbox.get())

    nursery.start_soon(reader)
    await settle()
    mailbox.close()
    await settle()

    assert got == [None]
    assert mailbox.ended


async def test_closing_releases_all_who_wait_for_room(nursery):
    mailbox = Mailbox[Any](1)
    mailbox.put_nowait(0)
    refused = []

    async def send(number):
        try:
            await mailbox.put(number)
        except ActorStopped:
            refused.append(number)

    for number in range(1, 4):
        nursery.start_soon(send, number)
        await settle()
    mailbox.close()
    await settle()

    assert sorted(refused) == [1, 2, 3]
    assert await mailbox.get() == 0
    assert mailbox.ended


async def test_discarding_closes_and_hands_out_what_nobody_will_read():
    mailbox = Mailbox[Any](2)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)

    assert list(mailbox.discard()) == [1, 2]
    assert mailbox.ended


async def test_two_readers_are_a_mistake_that_is_noticed(nursery):
    mailbox = Mailbox[Any](1)
    nursery.start_soon(mailbox.get)
    await settle()

    with pytest.raises(AssertionError):
        await mailbox.get()
    mailbox.close()
