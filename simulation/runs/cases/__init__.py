"""Regression cases: failures that were found, each as small as it could be made.

Each is a file `<name>.json` with its story: what went wrong, and how it was mended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from simulation.faults.schedule import Schedule
from simulation.runs.swarm import Scenario
from simulation.world.plan import Plan

_HERE: Final = Path(__file__).parent


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario with its *story*."""

    story: str
    plan: Plan
    schedule: Schedule

    @property
    def scenario(self) -> Scenario:
        return Scenario(plan=self.plan, schedule=self.schedule)


def names() -> list[str]:
    """The names of all cases."""
    return sorted(path.stem for path in _HERE.glob("*.json"))


def read(name: str) -> Case:
    """The case called *name*. Raises `FileNotFoundError`."""
    return msgspec.json.decode((_HERE / f"{name}.json").read_bytes(), type=Case)


def keep(name: str, case: Case) -> Path:
    """Write *case* to its file; returns the path."""
    path = _HERE / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(case), indent=2) + b"\n")
    return path
