"""A moment that one task waits for."""

from __future__ import annotations

import math

import pytest
import trio

from tests.actors.clock_kit import settle
from tocsin.server.follow.moment import Moment, Turn
from tocsin.server.turnstile import AnswerLine


@pytest.mark.parametrize("deadline", [5.0, math.inf])
async def test_a_task_that_waits_goes_on_when_the_moment_comes(autojump_clock, deadline):
    moment = Moment()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await moment.wait(deadline)

        await settle()
        moment.set()
    assert trio.current_time() == 0
    assert moment.is_set()


async def test_a_moment_that_does_not_come_is_waited_for_until_the_deadline(autojump_clock):
    moment = Moment()
    assert not await moment.wait(3.0)
    assert trio.current_time() == 3
    assert not moment.is_set()


async def test_a_moment_that_has_come_stays(autojump_clock):
    moment = Moment()
    moment.set()
    moment.set()
    assert await moment.wait(3.0)
    assert await moment.wait()
    assert trio.current_time() == 0


async def test_a_wait_that_was_cancelled_leaves_the_next_one_whole(autojump_clock):
    moment = Moment()
    with trio.move_on_after(1):
        await moment.wait(2.0)
    assert not await moment.wait(4.0)
    assert trio.current_time() == 4


# --- In a line ------------------------------------------------------------------------------------


async def test_a_turn_comes_when_there_is_a_place(autojump_clock):
    line = AnswerLine(1)
    first, second = Turn(line), Turn(line)
    first.set()
    second.set()
    second.set()
    assert (first.is_set(), second.is_set()) == (True, False)

    first.leave()
    assert second.is_set()


async def test_the_task_of_a_turn_is_woken_when_it_comes(autojump_clock):
    line = AnswerLine(1)
    first, second = Turn(line), Turn(line)
    first.set()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await second.wait(10.0)

        second.set()
        await settle()
        assert not second.is_set()
        first.leave()
    assert trio.current_time() == 0


async def test_a_turn_that_has_left_the_line_keeps_no_place(autojump_clock):
    line = AnswerLine(1)
    first, gone, last = Turn(line), Turn(line), Turn(line)
    for turn in (first, gone, last):
        turn.set()
    gone.leave()
    first.leave()
    assert (gone.is_set(), last.is_set()) == (False, True)

    last.leave()
    again = Turn(line)
    again.set()
    assert again.is_set()


async def test_a_turn_that_never_stood_in_the_line_leaves_nothing(autojump_clock):
    line = AnswerLine(1)
    Turn(line).leave()
    first, second = Turn(line), Turn(line)
    first.set()
    second.set()
    assert (first.is_set(), second.is_set()) == (True, False)
