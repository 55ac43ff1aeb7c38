"""Seeded bugs, to see that the checks find them (`./dev simulate --mutations`).

A mutation that survives more runs than it states means that a check has gone blind, or that nothing
happens any more that shows it. The runs are short and small, and have the faults that matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from simulation.bugs.mutants import ALL
from simulation.bugs.mutation import Mutation
from simulation.faults.schedule import CALM, draw
from simulation.runs.simulator import simulate
from simulation.world.plan import Plan

PLAN: Final = Plan(users=5, posts=4.0, duration=25.0, settling=60.0, actions=0.1)


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of *mutation*: found in the run number *run* (1, 2, …) as *violation*."""

    mutation: Mutation
    run: int | None
    violation: str = ""

    @property
    def caught(self) -> bool:
        """Whether it was, and soon enough."""
        return self.run is not None and self.run <= self.mutation.within

    def __str__(self) -> str:
        told = "survived" if self.run is None else f"run {self.run} of {self.mutation.within}"
        return f"{self.mutation.name:<28}  {told:<12}  {self.violation[:120]}"


def hunt(mutation: Mutation, runs: int) -> Hunt:
    """Run with *mutation* until something is violated, *runs* times at most."""
    faults = msgspec.structs.replace(CALM, **mutation.faults)
    for seed in range(runs):
        plan = replace(PLAN, seed=seed, **mutation.plan)
        with mutation.applied():
            verdict = simulate(plan, draw(seed, faults, plan))
        if verdict.violations:
            return Hunt(mutation, seed + 1, str(verdict.violations[0]).partition("\n")[0])
    return Hunt(mutation, None)


def survey(runs: int) -> list[Hunt]:
    """All mutations, each for as many runs as it states, or *runs* if those are more."""
    return [hunt(mutation, max(runs, mutation.within)) for mutation in ALL]
