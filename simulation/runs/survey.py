"""Many seeds, on all cores: each in a process that has nothing but it to do.

These processes end with the one that has started them, however that ends.
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
    """What became of one seed; *violations* is empty where all was well."""

    seed: int
    digest: str
    figures: Figures
    violations: tuple[Violation, ...]


class Order(msgspec.Struct, frozen=True):
    """What to do with every seed: see `scenario_of`."""

    calm: bool = False
    wanted: dict[str, Any] = {}


def examine(seed: int, order: Order) -> Outcome:
    """Run *seed*; it does not raise, whatever happens there."""
    try:
        return _examine(seed, order)
    except Exception:
        # As text: some exceptions do not survive the way to another process.
        failed = Violation(0.0, "run", "simulation", traceback.format_exc())
        return Outcome(seed, "", Figures(), (failed,))


def _examine(seed: int, order: Order) -> Outcome:
    scenario = scenario_of(seed, calm=order.calm, **order.wanted)
    verdict = simulate(scenario.plan, scenario.schedule)
    return Outcome(seed, verdict.trace.digest, verdict.figures, verdict.violations)


def survey(seeds: Iterable[int], order: Order, processes: int | None = None) -> Iterator[Outcome]:
    """Examine all *seeds*, and yield what becomes of them as it comes, in no order."""
    count = processes or os.cpu_count() or 1
    waiting = iter(seeds)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_end_with_parent) as pool:

        def begin(how_many: int) -> set[Future[Outcome]]:
            return {pool.submit(examine, seed, order) for seed in islice(waiting, how_many)}

        # A few more than can run: none of them waits for us, and Ctrl-C has little to wait for.
        running = begin(2 * count)
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= begin(len(done))
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Have this process end as soon as its parent has.

    One that is killed tells nobody, and an idle worker would wait for work for ever: its queue is
    open as long as the other workers are. Its sentinel is a pipe that the parent alone holds open.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
