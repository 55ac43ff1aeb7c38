"""The same seed makes the same run: within one process, and in processes with other hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from simulation.faults.schedule import Fault, Faults, draw
from simulation.runs.simulator import simulate
from simulation.runs.survey import Order, examine
from simulation.runs.swarm import scenario_of
from simulation.world.plan import Plan
from tests.house.source import ROOT

SHORT = {"duration": 20.0}


@pytest.mark.parametrize("seed", [3, 7, 11, 16])
def test_a_seed_takes_the_same_steps_again(seed):
    first, second = (examine(seed, Order(wanted=SHORT)) for _ in range(2))

    assert first == second
    assert first.figures.steps > 20


def test_other_seeds_take_other_steps():
    digests = {examine(seed, Order(wanted=SHORT)).digest for seed in (3, 7, 11)}

    assert len(digests) == 3


def test_processes_with_other_hashes_take_the_same_steps():
    assert told_with_hashes_of("1") == told_with_hashes_of("2")


def test_a_run_that_is_cut_off_is_the_beginning_of_the_whole():
    scenario = scenario_of(7, duration=20.0)

    whole = list(simulate(scenario.plan, scenario.schedule).trace.lines())
    part = list(simulate(scenario.plan, scenario.schedule, until=12.0).trace.lines())

    # Lines that nodes log while they are cleared away do not belong to the run.
    before = [line for line in part if line.time < 12.0]
    assert before
    assert before == whole[: len(before)]


def test_one_kind_of_fault_does_not_change_when_the_others_happen():
    plan = Plan(seed=5, duration=600.0)

    everything = draw(5, Faults(), plan)
    without = draw(5, Faults().without("killed"), plan)

    assert any(fault.kind == "killed" for fault in everything)
    assert without == tuple(fault for fault in everything if fault.kind != "killed")


def test_faults_are_over_when_the_work_is():
    plan = Plan(seed=5, duration=300.0)

    assert all(fault.at + fault.lasts <= 300.001 for fault in draw(5, Faults(), plan))


def test_a_node_alone_is_not_hurt_where_it_has_nothing():
    kinds = {fault.kind for fault in draw(1, Faults(), Plan(nodes=1, duration=3600.0))}

    assert "killed" in kinds
    assert not kinds & {"bus_away", "bus_noisy", "bus_silent", "bus_wiped", "deaf"}


def test_a_fault_is_told_in_one_line():
    fault = Fault(at=12.5, kind="killed", target="a", lasts=3.0, nth=40, how="silent")

    assert str(fault).strip() == "12.50 killed target=a lasts=3.0 nth=40 how=silent"


def told_with_hashes_of(hash_seed: str) -> list[tuple[int, str]]:
    """Seed and digest of some runs, in a process with the hash seed *hash_seed*."""
    command = [sys.executable, "-m", "simulation", "--seed", "3", "--runs", "4", "--json"]
    done = subprocess.run(
        [*command, "--duration", "20", "--processes", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=100,
    )
    told = map(json.loads, done.stdout.splitlines())
    found = sorted((each["seed"], each["digest"]) for each in told)
    assert [seed for seed, _ in found] == [3, 4, 5, 6]
    return found
