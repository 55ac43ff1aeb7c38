"""The clock of the users' actors: one time in each turn of the loop."""

from __future__ import annotations

import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.delivery.clock import Clock
from tocsin.actors.world import World


async def test_the_clock_stands_still_within_a_turn(autojump_clock):
    wall = iter((1000, 2000))
    clock = Clock(World(lambda: next(wall), lambda: 0.5, bytes))
    clock.tick()
    clock.tick()

    assert (clock.now, clock.now_ms) == (trio.current_time(), 1000)


async def test_the_clock_is_read_anew_in_the_next_turn(autojump_clock):
    wall = iter((1000, 2000))
    clock = Clock(World(lambda: next(wall), lambda: 0.5, bytes))
    clock.tick()
    began = clock.now
    await pass_time(3)
    clock.tick()

    assert (clock.now, clock.now_ms) == (began + 3, 2000)
