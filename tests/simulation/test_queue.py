"""The simulated queue: at least once, in order, and forgetful where real brokers are."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from simulation.world.chance import Chance
from simulation.world.queue import SimulatedQueue
from simulation.world.scheduling import Process, run
from simulation.world.timeline import Timeline
from tocsin.persistence.source import SourceAway, SourceElsewhere


@pytest.fixture
def timeline():
    return Timeline()


@pytest.fixture
def queue(timeline):
    made = SimulatedQueue("line", timeline, Chance(1), lambda: 1_000, ordered=True)
    for text in (b"one", b"two", b"three"):
        made.put(text)
    return made


def a_process(name="a"):
    return Process(name, lambda: None)


def play(timeline, work):
    run("seed", timeline, work)


def bodies(taken: Any) -> list[bytes]:
    return [each.body for each in taken]


def test_a_lost_connection_gives_its_batch_back_in_order(timeline, queue):
    async def work():
        async with queue.terms(a_process()).connect() as source:
            assert bodies(await source.take(2, 1.0)) == [b"one", b"two"]
            queue.cut("a")
            assert source.alive() is not None
            with pytest.raises(SourceAway):
                await source.done([])
        async with queue.terms(a_process()).connect() as source:
            assert bodies(await source.take(9, 1.0)) == [b"one", b"two", b"three"]

    play(timeline, work)
    assert queue.left == 3


def test_an_acknowledged_batch_is_forgotten_and_told_once(timeline, queue):
    told = []
    queue.acknowledged.append(lambda message: told.append(message.number))

    async def work():
        async with queue.terms(a_process()).connect() as source:
            await source.done(await source.take(2, 1.0))
        queue.restart(60.0)
        async with queue.terms(a_process("b")).connect() as source:
            taken = await source.take(9, 1.0)
            assert bodies(taken) == [b"one", b"two", b"three"]
            await source.done(taken)

    play(timeline, work)
    assert told == [0, 1, 2]
    assert [each.deliveries for each in queue.messages] == [2, 2, 1]
    assert [each.acked_by for each in queue.messages] == ["a", "a", "b"]


def test_a_broker_that_remembers_delivers_nothing_again(timeline, queue):
    async def work():
        async with queue.terms(a_process()).connect() as source:
            await source.done(await source.take(3, 1.0))
        await trio.sleep(1.0)  # waits for: virtual time
        queue.restart(0.5)

    play(timeline, work)
    assert queue.left == 0


def test_an_ordered_queue_has_one_connection(timeline, queue):
    async def work():
        async with queue.terms(a_process()).connect():
            with pytest.raises(SourceElsewhere):
                async with queue.terms(a_process("b")).connect():
                    pass

    play(timeline, work)


def test_the_broker_ends_a_connection_whose_process_is_stopped(timeline, queue):
    process = a_process()

    async def work():
        async with queue.terms(process).connect() as source:
            await source.take(1, 1.0)
            process.stop()
            await trio.sleep(12.0)  # waits for: virtual time
            assert source.alive() is not None

    play(timeline, work)
    assert queue.left == 3


def test_a_dead_process_acknowledges_nothing(timeline, queue):
    process = a_process()

    async def work():
        async with queue.terms(process).connect() as source:
            taken = await source.take(1, 1.0)
            process.kill()
            await source.done(taken)

    play(timeline, work)
    assert queue.left == 3


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_broker_that_is_away_answers_nothing(timeline, queue, how):
    async def work():
        async with queue.terms(a_process()).connect() as source:
            taken = await source.take(1, 1.0)
            queue.away = how
            with pytest.raises(SourceAway):
                await source.done(taken)
            queue.away = ""

    play(timeline, work)
    assert queue.left == 3
