"""The simulated broker destination, and a clean run of carrying to it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from simulation.bugs.mutations import PLAN
from simulation.faults.schedule import CALM, draw
from simulation.runs.simulator import simulate
from simulation.world.chance import Chance
from simulation.world.destination import SimulatedDestination
from simulation.world.plan import Plan
from simulation.world.scheduling import Process, run
from simulation.world.timeline import Timeline
from tocsin.persistence.sink import SinkMessage
from tocsin.persistence.source import SourceAway

BATCH = [
    SinkMessage(id=f"e-{n}", kind="read", key="u", body=b'{"id":"e-%d"}' % n) for n in (1, 2, 3)
]
SINK = replace(PLAN, sink=1.0, sink_trouble=0.4, actions=0.3, duration=30.0, settling=600.0)


def carried(destination, timeline, process=None, times=1):
    """The number of *times* that `BATCH` was confirmed, of as many tries."""
    process = process or Process("a", lambda: None)
    confirmed = []

    async def work():
        for _ in range(times):
            try:
                async with destination.terms(process).connect() as sink:
                    await sink.carry(BATCH)
                    confirmed.append(1)
            except SourceAway:
                pass

    run("seed", timeline, work)
    return len(confirmed)


def test_a_confirmed_batch_is_taken_in_order():
    timeline = Timeline()
    destination = SimulatedDestination(Plan(), timeline, Chance(1))
    assert carried(destination, timeline) == 1
    assert [each["id"] for each in destination.taken] == ["e-1", "e-2", "e-3"]
    assert destination.confirmed == 3


def test_a_broker_in_trouble_confirms_one_batch_of_four():
    timeline = Timeline()
    destination = SimulatedDestination(Plan(sink_trouble=10.0, duration=9000), timeline, Chance(1))
    assert carried(destination, timeline, times=40) == 10
    assert len(destination.taken) == 3 * 10


def test_a_dead_process_brings_nothing():
    timeline = Timeline()
    destination = SimulatedDestination(Plan(), timeline, Chance(1))
    process = Process("a", lambda: None)
    process.kill()
    assert carried(destination, timeline, process) == 0
    assert destination.taken == []


@pytest.mark.parametrize("seed", range(3))
def test_receipts_reach_a_broker_in_order_though_nodes_die(seed):
    faults = msgspec.structs.replace(CALM, killed=3.0, stopped=3.0, store_away=2.0, clock=2.0)
    plan = replace(SINK, seed=seed)
    assert simulate(plan, draw(seed, faults, plan)).violations == ()
