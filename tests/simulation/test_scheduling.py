"""The loop in the place of Trio's: the seed's order, virtual time, and processes that stop."""

from __future__ import annotations

import pytest
import trio

from simulation.world.scheduling import Process, run
from simulation.world.timeline import Timeline


def steps(seed: str) -> list[int]:
    """The order in which ten tasks take their first steps."""
    taken: list[int] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(take, number)

    async def take(number: int) -> None:
        await trio.lowlevel.checkpoint()
        taken.append(number)

    run(seed, Timeline(), main)
    return taken


def test_the_seed_is_the_order_of_tasks():
    assert steps("a") == steps("a") != steps("b")
    assert sorted(steps("a")) == list(range(10))


def test_deadlines_and_events_come_in_the_order_of_time():
    timeline = Timeline()
    happened: list[float] = []

    async def main() -> None:
        timeline.at(1.0, happened.append, 1.0)
        timeline.at(3.0, happened.append, 3.0)
        with trio.move_on_at(2.0):
            await trio.sleep_forever()
        happened.append(trio.current_time())
        await trio.sleep(2.0)  # waits for: the deadline it tests
        happened.append(trio.current_time())

    run("seed", timeline, main)

    assert happened == [1.0, 2.0, 3.0, 4.0]


def test_an_error_of_a_task_comes_out():
    async def main() -> None:
        await trio.sleep(1.0)  # waits for: the deadline it tests
        raise ValueError("from a task")

    with pytest.raises(ValueError, match="from a task"):
        run("seed", Timeline(), main)


def test_a_stopped_process_takes_no_step_until_it_goes_on():
    timeline = Timeline()
    taken: list[float] = []

    async def work() -> None:
        while len(taken) < 10:
            await trio.sleep(1.0)  # waits for: the deadline it tests
            taken.append(trio.current_time())

    async def main() -> None:
        process = Process("a", died=lambda: None)
        timeline.at(2.5, process.stop)
        timeline.at(7.5, process.go_on)
        async with trio.open_nursery() as nursery:
            process.enter(nursery.start_soon, work)

    run("seed", timeline, main)

    assert taken[:4] == [1.0, 2.0, 7.5, 8.5]


def test_a_process_is_stopped_by_another_in_the_same_round():
    taken: list[str] = []

    async def main() -> None:
        processes = [Process(name, died=lambda: None) for name in "ab"]

        async def stop_the_other(process: Process) -> None:
            taken.append(process.name)
            [other] = [each for each in processes if each is not process]
            other.stop()

        async with trio.open_nursery() as nursery:
            for process in processes:
                process.enter(nursery.start_soon, stop_the_other, process)
            await trio.sleep(1.0)  # waits for: the deadline it tests
            assert len(taken) == 1
            for process in processes:
                process.go_on()

    run("seed", Timeline(), main)

    assert sorted(taken) == ["a", "b"]
