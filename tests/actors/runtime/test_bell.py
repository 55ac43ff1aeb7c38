"""A bell wakes who waits, keeps a ring that nobody waits for, is never late, and gives pauses."""

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.runtime.alarms import alarm_clock
from tocsin.actors.runtime.bell import Bell, pause


async def test_a_ring_wakes_who_waits(autojump_clock, nursery):
    bell = Bell()
    nursery.start_soon(pass_then_ring, bell, 3)

    await bell.wait(10)

    assert trio.current_time() == 3


async def test_a_ring_that_nobody_waits_for_is_kept_once(autojump_clock):
    bell = Bell()
    bell.ring()
    bell.ring()

    await bell.wait(10)
    assert trio.current_time() == 0
    await bell.wait(10)
    assert trio.current_time() == 10


async def test_an_alarm_of_an_earlier_wait_does_not_end_a_later_one(autojump_clock, nursery):
    bell = Bell()
    nursery.start_soon(pass_then_ring, bell, 1)
    await bell.wait(5)

    await bell.wait(20)

    assert trio.current_time() == 20


async def test_to_wait_for_what_has_passed_lets_others_run(autojump_clock, nursery):
    ran: list[float] = []
    nursery.start_soon(note, ran)

    # Tasks scheduled in one batch run in any order; two batches later they all have run.
    await Bell().wait(-1.0)
    await Bell().wait(-1.0)

    assert ran == [0]
    assert trio.current_time() == 0


async def test_a_cancelled_waiter_leaves_the_ring_to_the_next(autojump_clock):
    bell = Bell()
    bell.ring()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()

    with trio.fail_after(1):
        await bell.wait()

    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await bell.wait()


async def test_a_waiter_with_a_deadline_is_woken_then_and_not_before(autojump_clock):
    bell = Bell()
    async with trio.open_nursery() as waiting:
        waiting.start_soon(bell.wait, 10)
        await pass_time(1)

        bell.ring_by(5)
        bell.ring_by(3)
        bell.ring_by(20)

        assert trio.lowlevel.current_statistics().tasks_runnable == 0
    assert trio.current_time() == 3


@pytest.mark.parametrize(("time", "woken_at"), [(0.5, 1), (1.0, 1), (4.0, 4)])
async def test_a_time_that_has_come_rings_at_once_and_a_later_one_then(
    autojump_clock, nursery, time, woken_at
):
    bell = Bell()

    async def name_the_time() -> None:
        await pass_time(1)
        bell.ring_at(time, trio.current_time())

    nursery.start_soon(name_the_time)
    await bell.wait(10)

    assert trio.current_time() == woken_at


async def test_a_time_that_is_named_as_an_earlier_alarm_rings_is_not_lost(autojump_clock):
    bell = Bell()
    with trio.move_on_after(1):
        await bell.wait(5)
    # At the same time, and after it.
    alarm_clock().set(5, lambda: bell.ring_by(7))

    await bell.wait(20)

    assert trio.current_time() == 7


async def test_a_pause_ends_in_time_or_when_it_is_cancelled(autojump_clock):
    await pause(3)
    assert trio.current_time() == 3

    with trio.move_on_after(1) as scope:
        await pause(5)
    assert scope.cancelled_caught
    assert trio.current_time() == 4


async def pass_then_ring(bell, seconds):
    await pass_time(seconds)
    bell.ring()


async def note(ran):
    ran.append(trio.current_time())
    await trio.lowlevel.checkpoint()
