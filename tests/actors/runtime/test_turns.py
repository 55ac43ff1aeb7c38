"""The turns of the loop, counted."""

from __future__ import annotations

import trio

from tocsin.actors.runtime.turns import turn_counter


async def test_a_turn_has_a_number_of_its_own():
    numbers = [turn_counter().number, turn_counter().number]
    await trio.lowlevel.checkpoint()
    numbers.append(turn_counter().number)

    assert numbers[0] == numbers[1] < numbers[2]


async def test_the_tasks_of_a_turn_see_one_number(autojump_clock):
    seen: list[int] = []

    async def look() -> None:
        await trio.sleep(1)  # waits for: virtual time
        seen.append(turn_counter().number)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look)

    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_each_run_counts_for_itself():
    async def count() -> int:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        return turn_counter().number

    assert trio.run(count) == trio.run(count) == 0
