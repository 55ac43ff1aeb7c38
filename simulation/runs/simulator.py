"""One run, from its seed to its verdict.

    work      producers post, devices come and go, faults happen
    mending   all faults are mended, workers end, all devices come and stay
    settling  once a second the checks say what is still missing, until nothing is; in some runs a
              time of calm follows
    judging   the checks judge the final state
    stopping  every node is told to stop, and must end in time with no task left

The first violation ends the run.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from simulation.checks import ALL
from simulation.checks.check import MakeCheck
from simulation.clients.cast import Cast
from simulation.clients.census import Census
from simulation.faults.harm import Harm
from simulation.faults.schedule import Schedule
from simulation.runs.figures import Counting, Figures
from simulation.world.cluster import Cluster
from simulation.world.crashes import crashing
from simulation.world.history import Violation
from simulation.world.logs import captured
from simulation.world.plan import Plan
from simulation.world.scheduling import run, tasks_of_processes
from simulation.world.timeline import Timeline
from simulation.world.trace import Trace

_LOOK: Final = 1.0
"""Seconds between two looks of the checks."""
_GRACE: Final = 5.0
"""Seconds that a node may take to end on top of its drain time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a run; it kept all promises if there are no *violations*."""

    plan: Plan
    schedule: Schedule
    trace: Trace
    violations: tuple[Violation, ...]
    figures: Figures


def simulate(
    plan: Plan,
    schedule: Schedule = (),
    *,
    until: float = math.inf,
    checks: Sequence[MakeCheck] = ALL,
) -> Verdict:
    """Run *plan* with the faults of *schedule*, judged by *checks*.

    *until* ends the run at that second, unjudged.
    """
    timeline, trace = Timeline(), Trace()
    runs: list[_Run] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(plan, timeline, trace, nursery)
            with captured(cluster):
                await cluster.open()
                runs.append(_Run(cluster, checks))
                runs[0].begin(schedule, until)
                try:
                    await timeline.run()
                finally:
                    nursery.cancel_scope.cancel()
                    await cluster.store.aclose()

    crash: tuple[Violation, ...] = ()
    with crashing(any(fault.kind == "crash" for fault in schedule)):
        try:
            run(f"{plan.seed}/order", timeline, main)
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            crash = (Violation(timeline.now, "run", "simulation", told),)
    figures, found = runs[0].result() if runs else (Figures(), ())
    return Verdict(plan, schedule, trace, found + crash, figures)


class _Run:
    def __init__(self, cluster: Cluster, checks: Sequence[MakeCheck]) -> None:
        self._cluster = cluster
        self._harm = Harm(cluster)
        self._counting = Counting()
        plan, history = cluster.plan, cluster.history
        self._cast = Cast(cluster)
        self._checks = [check(cluster, self._cast.devices) for check in checks]
        for watcher in (self._counting, *self._checks):
            history.watch(watcher)
        history.stop = cluster.timeline.end
        looks = math.inf if not plan.looks else 1 / plan.looks
        self._census = Census(cluster, self._cast.devices, looks)
        self._settle_by = math.inf
        self._judge_at = math.inf

    def begin(self, schedule: Schedule, until: float) -> None:
        """Plan all that is to happen on the timeline."""
        cluster, timeline = self._cluster, self._cluster.timeline
        for host in cluster.hosts.values():
            host.start()
        cluster.balancer.begin()
        for device in self._cast.devices:
            timeline.at(1.0 + device.chance.random(), device.come)
        for worker in (*self._cast.workers, self._census):
            timeline.at(2.0, worker.begin)
        self._harm.plan(schedule)
        timeline.at(_LOOK, self._look)
        timeline.at(cluster.plan.duration, self._mend)
        if until < math.inf:
            timeline.at(until, timeline.end)

    def result(self) -> tuple[Figures, tuple[Violation, ...]]:
        cluster, figures = self._cluster, self._counting.figures
        figures.seconds = cluster.timeline.now
        figures.transactions = cluster.store.transactions
        figures.steps = cluster.trace.count
        figures.faults = dict(sorted(self._harm.done.items()))
        return figures, tuple(cluster.history.violations)

    # --- The phases ------------------------------------------------------------------------------

    def _look(self) -> None:
        for check in self._checks:
            check.look()
        if self._settle_by < math.inf:
            self._settle()
        if self._settle_by > -math.inf:
            self._cluster.timeline.after(_LOOK, self._look)

    def _mend(self) -> None:
        cluster = self._cluster
        cluster.note("run", "mending")
        self._harm.mend_all()
        for host in cluster.hosts.values():
            host.start()
        for worker in (*self._cast.workers, self._census):
            worker.end()
        for device in self._cast.devices:
            device.calm()
        self._settle_by = cluster.timeline.now + cluster.plan.settling

    def _settle(self) -> None:
        if next(self._missing(), None) is None:
            self._rest()
        elif self._cluster.timeline.now >= self._settle_by:
            self._cluster.violated("settling", "cluster", "; ".join(self._missing()))

    def _rest(self) -> None:
        """All is settled: judge it, if it is still so after the time of calm."""
        calm, now = self._cluster.plan.calm, self._cluster.timeline.now
        if self._judge_at == math.inf:
            self._judge_at = now + calm
            self._settle_by += calm
        if now >= self._judge_at:
            self._judge()

    def _missing(self) -> Iterator[str]:
        """Events that must still happen; expensive questions come last and are seldom asked."""
        for worker in self._cast.workers:
            if not worker.is_quiet:
                yield f"{worker.name} waits"
        for check in self._checks:
            if (told := check.settled()) is not None:
                yield told
        if (told := self._census.settled()) is not None:
            yield told

    def _judge(self) -> None:
        self._settle_by = -math.inf
        self._cluster.note("run", "judging")
        for check in self._checks:
            check.finish()
        if self._cluster.history.violations:
            return
        drain_time = 0.0
        for host in self._cluster.hosts.values():
            host.stop()
            drain_time = max(drain_time, host.drain_time)
        self._cluster.timeline.after(drain_time + _GRACE, self._bury)

    def _bury(self) -> None:
        for host in self._cluster.hosts.values():
            if host.node is not None:
                self._cluster.violated("stopping", host.name, "has not ended in its drain time")
        if left := tasks_of_processes():
            self._cluster.violated("stopping", "tasks", f"left after the end: {left[:20]}")
        self._cluster.timeline.end()
