"""The costs of the past: recorded as a line of JSON for each run of `./dev bench --record`.

Only runs of a quiet machine are worth recording. A bare `send` of that hour stands with each,
because machines differ, and so does one machine from hour to hour.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from bench.measuring import Row

HERE: Final = Path(__file__).resolve().parent
HISTORY: Final = HERE / "history.jsonl"
COST: Final = "µs CPU"
"""The unit of the numbers that are recorded: the others say more of the machine than of us."""


class Record(msgspec.Struct, frozen=True):
    """The *costs* (µs CPU, by name) of a run on a day (*on*, as in ISO 8601) at a *commit*."""

    on: str
    commit: str
    store: str
    bare_send: float
    costs: dict[str, float]


def recorded(path: Path = HISTORY) -> list[Record]:
    """All records, the oldest first. Raises `OSError`, and `msgspec.DecodeError` for other text."""
    return [msgspec.json.decode(line, type=Record) for line in path.read_bytes().splitlines()]


def record(store: str, rows: Mapping[str, Row], bare_send: float, path: Path = HISTORY) -> None:
    """Append the costs among *rows*, measured on *store* now, to the history."""
    costs = {name: round(row.value, 1) for name, row in rows.items() if row.unit == COST}
    entry = Record(time.strftime("%Y-%m-%d"), _commit(), store, round(bare_send, 1), costs)
    with path.open("ab") as history:
        history.write(msgspec.json.encode(entry) + b"\n")


def _commit() -> str:
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(
        described, cwd=HERE, check=True, capture_output=True, text=True
    ).stdout.strip()
