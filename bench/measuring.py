"""Tools of every scenario: rows of the table, and the server's CPU between two moments."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.server import Server


@dataclass(frozen=True, slots=True)
class Row:
    """One number of the table: *value* in *unit*, and the *target* it should not exceed, if any."""

    name: str
    value: float
    unit: str
    target: float | None = None


class Cost:
    """The CPU time of the server and its database, and the wall time, since this was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cpu, self._wall = server.cpu_seconds, time.perf_counter()
        self._database = server.database_cpu_seconds

    def per(self, units: int) -> tuple[float, float]:
        """Microseconds of server CPU for each of *units*, and units per second of wall time."""
        cpu, wall = self._server.cpu_seconds - self._cpu, time.perf_counter() - self._wall
        return cpu / units * 1e6, units / wall

    def with_database(self, units: int) -> float:
        """As the first of `per`, with the CPU of the database's processes."""
        database = self._server.database_cpu_seconds - self._database
        return self.per(units)[0] + database / units * 1e6


def shown(value: float) -> str:
    """*value* with three digits at least, in groups of three."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def notification(users: Iterable[str]) -> dict[str, object]:
    return {
        "to": {"users": list(users)},
        "title": "Build 4711 is green",
        "body": "All 2 311 tests passed in 6 min 12 s.",
        "data": {"build": 4711, "branch": "main"},
    }
