"""Many seeds on all cores, in worker processes.

The workers end with the process that started them, even if that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import Any

import msgspec

from simulation.runs.figures import Figures
from simulation.runs.simulator import simulate
from simulation.runs.swarm import scenario_of
from simulation.world.history import Violation


class Outcome(msgspec.Struct, frozen=True):
    """The result of one seed; *violations* is empty if it kept all promises."""

    seed: int
    digest: str
    figures: Figures
    violations: tuple[Violation, ...]


class Order(msgspec.Struct, frozen=True):
    """The arguments of `scenario_of`, the same for every seed."""

    calm: bool = False
    wanted: dict[str, Any] = {}


def examine(seed: int, order: Order) -> Outcome:
    """Run *seed*; an exception becomes a violation."""
    try:
        return _examine(seed, order)
    except Exception:
        # As text, because some exceptions cannot be sent to another process.
        failed = Violation(0.0, "run", "simulation", traceback.format_exc())
        return Outcome(seed, "", Figures(), (failed,))


def _examine(seed: int, order: Order) -> Outcome:
    scenario = scenario_of(seed, faultless=order.calm, **order.wanted)
    verdict = simulate(scenario.plan, scenario.schedule)
    return Outcome(seed, verdict.trace.digest, verdict.figures, verdict.violations)


def survey(seeds: Iterable[int], order: Order, processes: int | None = None) -> Iterator[Outcome]:
    """Run all *seeds*, and yield each result when it is there, in no fixed order."""
    count = processes or os.cpu_count() or 1
    waiting = iter(seeds)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_end_with_parent) as pool:

        def begin(how_many: int) -> set[Future[Outcome]]:
            return {pool.submit(examine, seed, order) for seed in islice(waiting, how_many)}

        # Twice as many as can run: so no worker waits for work, and Ctrl-C leaves few runs to wait
        # for.
        running = begin(2 * count)
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= begin(len(done))
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended.

    A killed parent tells its workers nothing, and an idle worker would wait for work for ever: its
    queue stays open as long as other workers have it. The parent's sentinel is a pipe that only the
    parent holds open.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
