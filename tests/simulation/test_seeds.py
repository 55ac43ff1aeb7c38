"""Short runs of fixed seeds, and all regression cases: none may fail.

The message of a failure has the command that repeats the seed, shrinks it and explains it.
"""

from __future__ import annotations

import pytest

from simulation.faults.schedule import Faults
from simulation.runs import cases
from simulation.runs.figures import Figures
from simulation.runs.simulator import simulate
from simulation.runs.survey import Order, examine

SECONDS = 20.0
SEEDS = range(200)
BLOCK = 10

total = Figures()


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_promises_are_kept_from_seed(first):
    for seed in range(first, first + BLOCK):
        outcome = examine(seed, Order(wanted={"duration": SECONDS}))
        total.add(outcome.figures)
        if outcome.violations:
            command = f"./dev simulate --seed {seed} --duration {SECONDS:g}"
            pytest.fail(f"{command}\n{outcome.violations[0]}", pytrace=False)


@pytest.mark.parametrize("name", cases.names())
def test_a_kept_case_stays_mended(name):
    case = cases.read(name)

    verdict = simulate(case.plan, case.schedule)

    if verdict.violations:
        command = f"./dev simulate --case {name}"
        pytest.fail(f"{command}\n{case.story}\n{verdict.violations[0]}", pytrace=False)


def test_the_seeds_together_are_no_idle_ones(request):
    blocks = [item for item in request.session.items if "promises_are_kept" in item.name]
    if len(blocks) < len(SEEDS) // BLOCK:
        pytest.skip("not all seeds were run")

    drawn = {kind for kind in Faults.__struct_fields__ if kind not in ("rolled", "dark")}
    assert drawn <= set(total.faults)
    assert total.deliveries > 5_000
    assert total.spooled > 20
