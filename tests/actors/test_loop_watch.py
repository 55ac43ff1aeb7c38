"""The loop is watched: late or busy it is seen to be so, and idle as well."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.loop_watch import BEAT, LoopStatus, LoopWatcher
from tocsin.actors.runtime.supervisor import open_supervisor


async def seen_in(seconds: float, thread_time: Callable[[], float]) -> LoopStatus:
    status = LoopStatus()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("loop-watch", lambda: LoopWatcher(status, thread_time))
        await pass_time(seconds)
        await tree.stop(lambda name: 1.0)
    return status


async def test_an_idle_loop_is_neither_late_nor_busy(autojump_clock):
    status = await seen_in(60.0, lambda: 0.0)
    assert status.busy == 0.0
    assert status.lag.count == pytest.approx(60 / BEAT, abs=2)
    assert status.lag.total == pytest.approx(0.0, abs=1e-6)


async def test_a_busy_loop_shows_within_a_minute(autojump_clock):
    status = await seen_in(60.0, lambda: 0.8 * trio.current_time())
    assert status.busy == pytest.approx(0.8, abs=0.01)


async def test_a_burst_of_a_second_is_no_busy_loop(autojump_clock):
    began = trio.current_time()
    status = await seen_in(20.0, lambda: min(1.0, trio.current_time() - began))
    assert 0.0 < status.busy < 0.05


async def test_a_turn_that_takes_a_second_is_a_lag(mock_clock):
    mock_clock.autojump_threshold = 0

    async def hog() -> None:
        await pass_time(BEAT / 2)
        mock_clock.jump(1.0)  # as if the turn had taken so long

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hog)
        status = await seen_in(10.0, lambda: 0.0)
    (late,) = [count for bound, count in status.lag.cumulative() if bound == 0.5]
    assert status.lag.count - late == 1
    assert status.lag.total == pytest.approx(1.0 - BEAT / 2, abs=0.01)
