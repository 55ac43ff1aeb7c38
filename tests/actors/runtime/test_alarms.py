"""The alarm clock rings everybody in time, once, and forgets whoever has gone."""

import math
import random
from functools import partial

import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.runtime.alarms import AlarmClock, alarm_clock, set_alarm_clock
from tocsin.actors.runtime.mailbox import Mailbox


async def test_each_alarm_rings_at_its_time(autojump_clock):
    rung = []

    def note(at):
        rung.append((at, trio.current_time()))

    for at in [5, 1, 3, 3]:
        alarm_clock().set(at, partial(note, at))
    await pass_time(10)

    assert rung == [(1, 1), (3, 3), (3, 3), (5, 5)]


async def test_an_alarm_set_while_the_clock_sleeps_for_a_later_one_rings_in_time(autojump_clock):
    rung = []
    alarm_clock().set(100, lambda: rung.append(trio.current_time()))
    await settle()
    alarm_clock().set(2, lambda: rung.append(trio.current_time()))
    await pass_time(200)

    assert rung == [2, 100]


async def test_an_alarm_set_by_a_ringing_one_rings(autojump_clock):
    rung = []

    def again():
        rung.append(trio.current_time())
        if len(rung) < 3:
            alarm_clock().set(trio.current_time(), again)

    alarm_clock().set(1, again)
    await pass_time(2)

    assert rung == [1, 1, 1]


async def test_a_cancelled_alarm_does_not_ring(autojump_clock):
    rung = []
    alarm = alarm_clock().set(1, lambda: rung.append("cancelled"))
    alarm_clock().set(2, lambda: rung.append("other"))
    alarm_clock().cancel(alarm)
    alarm_clock().cancel(alarm)
    await pass_time(3)
    alarm_clock().cancel(alarm)

    assert rung == ["other"]


async def test_cancelled_alarms_do_not_pile_up():
    clock = AlarmClock()
    kept = [clock.set(at, lambda: None) for at in range(10)]
    for at in range(100_000):
        clock.cancel(clock.set(at, lambda: None))

    assert len(clock) <= 2 * 1000 + len(kept)


async def test_the_clock_sleeps_past_cancelled_alarms(autojump_clock):
    alarms = [alarm_clock().set(at, lambda: None) for at in (1, 2, 3, 100)]
    for alarm in alarms[1:3]:
        alarm_clock().cancel(alarm)
    await pass_time(1.5)

    assert len(alarm_clock()) == 1


async def test_mailboxes_of_the_dead_leave_no_alarms_behind(autojump_clock):
    for _ in range(10_000):
        mailbox = Mailbox[int](1)
        mailbox.put_nowait(1)
        with trio.CancelScope() as scope:
            await mailbox.get()
            scope.cancel()
            await mailbox.get(1_000_000)
        assert list(mailbox.discard()) == []

    assert len(alarm_clock()) <= 2000


async def test_one_alarm_serves_many_waits(autojump_clock, nursery):
    mailbox = Mailbox[int](1)

    async def sender():
        for number in range(100):
            await pass_time(0.01)
            mailbox.put_nowait(number)

    nursery.start_soon(sender)
    for number in range(100):
        assert await mailbox.get(trio.current_time() + 10) == number

    assert len(alarm_clock()) == 1


async def test_random_deadlines_are_never_missed(autojump_clock, nursery):
    chance = random.Random(7)

    async def waiter():
        mailbox = Mailbox[int](1)
        for _ in range(50):
            deadline = trio.current_time() + chance.random() * 10
            assert await mailbox.get(deadline) is None
            assert trio.current_time() == deadline

    async with trio.open_nursery() as waiters:
        for _ in range(20):
            waiters.start_soon(waiter)


async def test_a_wait_without_end_sets_no_alarm(nursery):
    nursery.start_soon(Mailbox[int](1).get, math.inf)
    await settle()

    assert len(alarm_clock()) == 0
    nursery.cancel_scope.cancel()


async def test_a_run_may_be_given_an_alarm_clock_of_its_own(nursery):
    clock = AlarmClock()
    set_alarm_clock(clock)

    nursery.start_soon(Mailbox[int](1).get, trio.current_time() + 100)
    await settle()

    assert alarm_clock() is clock
    assert len(clock) == 1
    nursery.cancel_scope.cancel()
