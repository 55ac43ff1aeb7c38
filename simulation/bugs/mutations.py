"""The hunt for seeded bugs, which shows that the checks find them (`./dev simulate --mutations`).

If a bug survives more runs than it states, a check has gone blind, or nothing happens any more that
would show the bug. The runs are short and small, and have the faults that matter to the bug.
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
    """The result for *mutation*: found in run *run* (1, 2, …) as *violation*, or not found."""

    mutation: Mutation
    run: int | None
    violation: str = ""

    @property
    def caught(self) -> bool:
        """Whether the bug was found within the runs that it states."""
        return self.run is not None and self.run <= self.mutation.within

    def __str__(self) -> str:
        told = "survived" if self.run is None else f"run {self.run} of {self.mutation.within}"
        return f"{self.mutation.name:<28}  {told:<12}  {self.violation[:120]}"


def hunt(mutation: Mutation, runs: int) -> Hunt:
    """Run with *mutation* until a promise is broken, *runs* times at most."""
    faults = msgspec.structs.replace(CALM, **mutation.faults)
    for seed in range(runs):
        plan = replace(PLAN, seed=seed, **mutation.plan)
        with mutation.applied():
            verdict = simulate(plan, draw(seed, faults, plan))
        if verdict.violations:
            return Hunt(mutation, seed + 1, str(verdict.violations[0]).partition("\n")[0])
    return Hunt(mutation, None)


def survey(runs: int) -> list[Hunt]:
    """Hunt all bugs, each for as many runs as it states, or *runs* if that is more."""
    return [hunt(mutation, max(runs, mutation.within)) for mutation in ALL]
