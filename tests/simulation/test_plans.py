"""Plans without any users, or without any work, run like other plans."""

from typing import Any

import pytest

from simulation.runs.simulator import simulate
from simulation.runs.swarm import scenario_of


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("none", ["users", "devices", "producers", "posts", "actions", "looks"])
def test_there_may_be_none(none, seed):
    wanted: dict[str, Any] = {"duration": 15.0, none: 0}
    scenario = scenario_of(seed, **wanted)

    verdict = simulate(scenario.plan, scenario.schedule)

    assert verdict.violations == ()
    if none in ("users", "devices"):
        assert verdict.figures.sessions == 0
    elif none in ("producers", "posts"):
        assert verdict.figures.notifications == 0


def test_there_may_be_nothing_at_all():
    nothing: dict[str, Any] = {"users": 0, "devices": 0, "producers": 0, "posts": 0}
    scenario = scenario_of(1, faultless=True, duration=5.0, **nothing)

    assert simulate(scenario.plan).violations == ()
