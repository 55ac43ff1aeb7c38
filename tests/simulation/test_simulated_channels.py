"""The simulated channels, and clean runs with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from simulation.bugs.mutations import PLAN
from simulation.faults.schedule import CALM, Fault, draw
from simulation.runs.simulator import simulate
from simulation.world.chance import Chance
from simulation.world.channels import CHANNELS, SimulatedChannels
from simulation.world.plan import Plan
from simulation.world.scheduling import Process, run
from simulation.world.timeline import Timeline
from tocsin.protocol.channels.carrying import CarriedNotification, Parcel

ESCALATING = replace(
    PLAN, escalations=0.8, channel_trouble=0.4, bad_devices=0.9, actions=0.1, settling=600.0
)


def carried(channels, timeline, process, times=1):
    """The words of each channel on as many parcels; *none* for one that had no end."""
    found: list[tuple[str, str]] = []

    async def work():
        lines = channels.of(process).lines
        for number in range(times):
            for name in CHANNELS:
                some = (CarriedNotification("n", "{}"),)
                parcel = Parcel(f"{name}-{number}", "u", "home", "u@x", some, 0)
                with trio.move_on_after(15.0):
                    told = await lines[name].terms.carrier.carry(parcel)
                    found.append((name, type(told).__name__))

    run("seed", timeline, work)
    return found


def a_scene(trouble: float) -> tuple[SimulatedChannels, Timeline, Process]:
    timeline = Timeline()
    plan = Plan(escalations=1.0, channel_trouble=trouble, duration=10_000.0)
    return SimulatedChannels(plan, timeline, Chance(2)), timeline, Process("a", lambda: None)


def test_without_trouble_every_parcel_is_taken():
    channels, timeline, process = a_scene(0.0)
    assert carried(channels, timeline, process) == [(name, "Accepted") for name in CHANNELS]
    assert [each.taken_at <= each.ended_at for each in channels.carryings] == [True] * 3


def test_in_trouble_each_channel_says_all_that_it_can():
    channels, timeline, process = a_scene(1.0)
    said = set(carried(channels, timeline, process, times=60))
    for name in CHANNELS:
        for word in ("Accepted", "TryLater", "Rejected"):
            assert (name, word) in said
    assert ("mail", "ChannelDown") in said
    assert ("pager", "ChannelDown") in said
    assert ("push", "AddressGone") in said
    # A taken parcel whose node was told nothing.
    assert any(each.taken_at < 1e9 and each.told == "TryLater" for each in channels.carryings)


def test_no_send_meets_trouble_often():
    channels, _, _ = a_scene(1.0)
    assert [channels.meets("s") for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(("how", "taken"), [("before", False), ("after", True)])
def test_a_doomed_node_dies_before_or_after_its_parcel_is_taken(how, taken):
    channels, timeline, process = a_scene(0.0)

    def doom(when):
        if when == how:
            process.is_dead = True

    channels.doomed["a"] = doom
    carried(channels, timeline, process)
    assert (channels.carryings[0].taken_at < 1e9) is taken
    assert channels.doomed == {}


@pytest.mark.parametrize("how", ["dies before", "dies after", "loses the store"])
def test_a_cluster_keeps_its_promises_when_a_node_fails_while_it_carries(how):
    faults = tuple(
        Fault(at=3.0, kind="carrying", target=name, lasts=9.0, how=how) for name in "abc"
    )
    verdict = simulate(ESCALATING, faults)
    assert verdict.violations == ()
    assert verdict.figures.faults == {"carrying": 3}


def test_runs_with_channels_in_trouble_are_clean():
    for seed in range(3):
        plan = replace(ESCALATING, seed=seed)
        assert simulate(plan, draw(seed, CALM, plan)).violations == ()
