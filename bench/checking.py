"""`./dev bench --check`: whether a unit of work has become dearer than at the commit before.

Both trees are measured by the same scenarios, those of this tree, in turns on one machine and with
fresh databases. A run of the one and a run of the other that stand side by side are a pair, and a
pair has a ratio for each cost. Other work on the machine disturbs the runs of a pair alike, but not
quite: a cost counts as dearer only if the middle ratio says so and nearly all pairs agree. Of two
dozen costs one would look dearer by chance all the same. So such a suspicion is only a reason to
measure again, and `CONFIRMING` new pairs decide.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from bench.history import COST
from bench.measuring import Row
from bench.runner import Databases, databases
from bench.scenarios import SCENARIOS
from servers.archives import unpack
from tocsin.cli.serving.descriptors import raise_limit

DEARER: Final = 1.05
"""The ratio of a cost to that of the commit before, beyond which the check fails."""
_AGREEING: Final = 0.75
"""The part of the pairs that have to be dearer as well."""
CONFIRMING: Final = 8
"""Pairs that decide on a suspicion: that six of them are dearer by chance happens once in seven
times, and that their median is by a twentieth as well much more seldom."""
_HERE: Final = Path(__file__).resolve().parent.parent

Pair: TypeAlias = tuple[Mapping[str, float], Mapping[str, float]]
"""The costs of a run of the tree before, and of one of this tree, by name."""


class Verdict(NamedTuple):
    """What the pairs say of one cost: the *ratio* in the middle, and whether it is *dearer*."""

    name: str
    ratio: float
    dearer: bool


def judge(name: str, ratios: Sequence[float]) -> Verdict:
    """The verdict on the cost *name*, whose pairs have these *ratios* (now to before)."""
    middle = statistics.median(ratios)
    agreeing = sum(ratio > 1 for ratio in ratios) / len(ratios)
    return Verdict(name, middle, middle > DEARER and agreeing >= _AGREEING)


def check(store: str, names: Sequence[str], runs: int) -> bool:
    """Measure the scenarios *names* on *store* in *runs* pairs, and print the verdicts.

    Returns whether no cost has become dearer. Raises `subprocess.CalledProcessError` if there is no
    commit before.
    """
    print(f"| measured on {store}, {runs} pairs | now / before | |\n|---|---:|---|")
    raise_limit()  # of open files: each connection is one
    passed = True
    with commit_before() as before, databases(store) as fresh:
        for name in names:

            def measure(count: int, name: str = name) -> list[Pair]:
                return [_pair(name, fresh, before, turned=run % 2 == 1) for run in range(count)]

            for verdict in confirmed(measure, runs):
                passed = passed and not verdict.dearer
                said = "**dearer**" if verdict.dearer else ""
                print(f"| {verdict.name} | {verdict.ratio:.3f} | {said} |", flush=True)
    return passed


def confirmed(measure: Callable[[int], Sequence[Pair]], runs: int) -> list[Verdict]:
    """The verdicts on *runs* pairs; on a cost that looks dearer, that of `CONFIRMING` new ones.

    *measure* runs so many pairs.
    """
    first = verdicts(measure(runs))
    if not any(each.dearer for each in first):
        return first
    again = {each.name: each for each in verdicts(measure(CONFIRMING))}
    return [again.get(each.name, each) if each.dearer else each for each in first]


def verdicts(pairs: Sequence[Pair]) -> list[Verdict]:
    """The verdict on each cost of *pairs*, which are costs by name: before, and now."""
    costs = [name for name in pairs[0][1] if name in pairs[0][0]]
    return [judge(name, [now[name] / before[name] for before, now in pairs]) for name in costs]


@contextmanager
def commit_before() -> Iterator[Path]:
    """The program before the changes here: of the last commit, or of its parent if none is open."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "tocsin")
    packed = _git("archive", "HEAD" if changed else "HEAD~1", "tocsin")
    with tempfile.TemporaryDirectory(prefix="tocsin-before-") as directory:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            unpack(archive, Path(directory))
        yield Path(directory)


def _pair(name: str, fresh: Databases, before: Path, *, turned: bool) -> Pair:
    """The costs of a run of the tree *before* and one of this tree, which is first if *turned*."""
    trees = [_HERE, before] if turned else [before, _HERE]
    costs = {tree: _costs(name, fresh, tree) for tree in trees}
    return costs[before], costs[_HERE]


def _costs(name: str, fresh: Databases, tree: Path) -> dict[str, float]:
    scenario = SCENARIOS[name]
    with (
        scenario.beside() as more,
        fresh.server({**scenario.settings, **more}, tree) as server,
    ):
        rows: list[Row] = asyncio.run(scenario.run(server))
    return {row.name: row.value for row in rows if row.unit == COST}


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=_HERE, check=True, capture_output=True).stdout
