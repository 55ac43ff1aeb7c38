"""Faults that happen at the same time are mended one by one, and all hosts run in the end."""

import pytest

from simulation.faults.schedule import Fault
from simulation.runs.simulator import simulate
from simulation.world.plan import Plan

PLAN = Plan(seed=1, nodes=1, users=1, devices=1, posts=0.5, duration=50.0)


@pytest.mark.parametrize("stopped_for", [45.0, 10.0, 1.0])
def test_a_host_whose_process_is_told_to_stop_while_it_hangs_runs_again(stopped_for):
    hangs = Fault(at=5.0, kind="stopped", target="a", lasts=stopped_for)
    restarts = Fault(at=5.5, kind="restarted", target="a", lasts=30.0)

    verdict = simulate(PLAN, (hangs, restarts))

    assert verdict.violations == ()
    starts = [line for line in verdict.trace.lines() if line.what.startswith("start ")]
    assert len(starts) == 2
