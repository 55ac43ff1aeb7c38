"""Shrinking: finds a smaller scenario, with fewer faults, users and kinds of work, that still
fails.

Each attempt is a whole run of a smaller scenario. It succeeds if the same promise is broken, for
any subject and at any time. Each device, producer and fault has a random generator of its own, so
that leaving one out changes the others little.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from simulation.faults.schedule import Fault
from simulation.runs.simulator import Verdict, simulate
from simulation.runs.swarm import LATER_WORK, WORK, Scenario
from simulation.world.plan import Plan

RUNS_MAX: Final = 200
"""The most attempts to shrink one failure."""

_LEAST: Final = {"users": 1, "devices": 1, "producers": 1, "nodes": 2, "duration": 5.0}


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest failing scenario found in *runs* attempts, and its verdict."""

    scenario: Scenario
    verdict: Verdict
    runs: int


def shrink(
    scenario: Scenario,
    verdict: Verdict,
    *,
    runs_max: int = RUNS_MAX,
    goes_on: Callable[[], bool] = lambda: True,
) -> Shrunk:
    """Shrink *scenario*, which failed with *verdict*.

    It ends after *runs_max* attempts, or when *goes_on* returns false.
    """
    search = _Search(scenario, verdict, runs_max, goes_on)
    search.go()
    return Shrunk(search.best, search.verdict, search.runs)


class _Search:
    def __init__(
        self,
        scenario: Scenario,
        verdict: Verdict,
        runs_max: int,
        goes_on: Callable[[], bool],
    ) -> None:
        self.best = scenario
        self.verdict = verdict
        self.runs = 0
        self._runs_max = runs_max
        self._goes_on = goes_on
        self._promise = verdict.violations[0].promise

    @property
    def _is_over(self) -> bool:
        return self.runs >= self._runs_max or not self._goes_on()

    def go(self) -> None:
        """Shrink until nothing more can be left out."""
        self._cut_the_end()
        before: Scenario | None = None
        while before != self.best and not self._is_over:
            before = self.best
            self._shrink_schedule()
            self._shrink_plan()
            self._shrink_faults()

    def _try(self, candidate: Scenario) -> bool:
        """Run *candidate*; it becomes the best if it breaks the same promise. Whether it did."""
        if self._is_over or candidate == self.best:
            return False
        self.runs += 1
        verdict = simulate(candidate.plan, candidate.schedule)
        if not any(each.promise == self._promise for each in verdict.violations):
            return False
        self.best, self.verdict = candidate, verdict
        return True

    def _try_plan(self, **changes: Any) -> bool:
        plan = dataclasses.replace(self.best.plan, **changes)
        schedule = tuple(_possible(self.best.schedule, plan))
        return self._try(Scenario(plan=plan, schedule=schedule))

    def _try_schedule(self, faults: list[Fault]) -> bool:
        return self._try(Scenario(plan=self.best.plan, schedule=tuple(faults)))

    def _cut_the_end(self) -> None:
        """Cut off the work after the violation."""
        end = self.verdict.violations[0].time
        if end < self.best.plan.duration:
            self._try_plan(duration=float(math.ceil(end + 1)))

    def _shrink_schedule(self) -> None:
        """Leave out halves, quarters, … and single faults (delta debugging)."""
        size = max(1, len(self.best.schedule) // 2)
        while self.best.schedule and not self._is_over:
            start = 0
            while start < len(self.best.schedule):
                faults = list(self.best.schedule)
                if not self._try_schedule(faults[:start] + faults[start + size :]):
                    start += size
            if size == 1:
                return
            size //= 2

    def _shrink_plan(self) -> None:
        for name, least in _LEAST.items():
            for smaller in _between(least, getattr(self.best.plan, name)):
                if self._try_plan(**{name: smaller}):
                    break
        for name in (*WORK, *LATER_WORK):
            if getattr(self.best.plan, name):
                self._try_plan(**{name: 0.0})
        while self.best.plan.posts > 0.2 and self._try_plan(posts=self.best.plan.posts / 2):
            pass

    def _shrink_faults(self) -> None:
        """Make each fault shorter and simpler."""
        for place, fault in enumerate(self.best.schedule):
            for changes in ({"lasts": round(fault.lasts / 4, 3)}, {"nth": fault.nth // 4}):
                faults = list(self.best.schedule)
                faults[place] = msgspec.structs.replace(faults[place], **changes)
                self._try_schedule(faults)


def _between(least: float, most: float) -> Iterator[float]:
    """Some values below *most*, the smallest first."""
    kind = type(least)
    for part in (0.0, 0.25, 0.5, 0.75):
        smaller = kind(least + (most - least) * part)
        if least <= smaller < most:
            yield smaller


def _possible(schedule: tuple[Fault, ...], plan: Plan) -> Iterator[Fault]:
    """The faults of *schedule* for which *plan* has time and nodes."""
    for fault in schedule:
        if fault.at < plan.duration and fault.target in ("", *plan.node_names):
            lasts = round(min(fault.lasts, plan.duration - fault.at), 3)
            yield msgspec.structs.replace(fault, lasts=lasts)
