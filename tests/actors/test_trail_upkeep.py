"""What nodes do for footprints."""

from __future__ import annotations

from typing import Any

import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.cluster.trail import TrailPlace
from tocsin.actors.cluster.trail_upkeep import INTERVAL, LIFE_BYTES, TrailUpkeep
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.footprints import BeginLife, ForgetFootprints


def upkeep() -> tuple[TrailUpkeep, list[Command[Any]]]:
    written: list[Command[Any]] = []

    async def write(command: Command[Any]) -> None:
        await trio.lowlevel.checkpoint()
        written.append(command)

    return TrailUpkeep(write, bytes), written


async def test_a_store_without_a_life_is_given_one():
    kept, written = upkeep()
    await kept.keep(TrailPlace(None, 7))

    assert written == [BeginLife(bytes(LIFE_BYTES).hex())]


async def test_footprints_are_forgotten_that_were_read_some_minutes_ago(autojump_clock):
    kept, written = upkeep()
    for oldest in range(1, 5):
        await kept.keep(TrailPlace("life", oldest))
        await pass_time(INTERVAL)
        await kept.keep(TrailPlace("life", 10 * oldest))

    assert written == [ForgetFootprints(10), ForgetFootprints(20), ForgetFootprints(30)]


async def test_ids_of_another_life_are_not_forgotten(autojump_clock):
    kept, written = upkeep()
    await pass_time(INTERVAL)
    await kept.keep(TrailPlace("life", 1000))
    await pass_time(INTERVAL)
    await kept.keep(TrailPlace("another", 5))

    assert written == []
