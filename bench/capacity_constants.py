"""The constants of the capacity model, each with its unit and the run that it comes from.

Costs of a node come from a file that `./dev bench --json` wrote, or else from the last record of
the history. The others were measured by hand, on the day that their source names, or are assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from bench.history import HISTORY, Record, recorded


class Origin(StrEnum):
    """How a number came about."""

    MEASURED = "measured"
    ASSUMED = "assumed"


class Constant(msgspec.Struct, frozen=True):
    """A *value* in *unit*, and where it comes from: a run, or the reason of an assumption."""

    value: float
    unit: str
    origin: Origin
    source: str


Constants = Mapping[str, Constant]

_BY_HAND: Final = "by hand, for the design of scaling, one node on 2 cores beside other work"
_NAMES: Final = "a name of 50 in a footprint, by hand, 300 footprints read 150 times"
_KNOWN: Final[dict[str, Constant]] = {
    "postgres, unicast": Constant(70, "µs CPU", Origin.MEASURED, _BY_HAND),
    "postgres, fan-out": Constant(40, "µs CPU", Origin.MEASURED, _BY_HAND),
    "WAL, unicast": Constant(2900, "B", Origin.MEASURED, _BY_HAND),
    "WAL, fan-out": Constant(1720, "B", Origin.MEASURED, _BY_HAND),
    "disk, unicast": Constant(1477, "B", Origin.MEASURED, _BY_HAND),
    "disk, fan-out": Constant(810, "B", Origin.MEASURED, _BY_HAND),
    "redis, unicast": Constant(6, "µs CPU", Origin.MEASURED, _BY_HAND),
    "redis, fan-out": Constant(3.2, "µs CPU", Origin.MEASURED, _BY_HAND),
    "redis, traffic": Constant(890, "B", Origin.MEASURED, _BY_HAND),
    "memory of a connection": Constant(
        33.1, "KiB", Origin.MEASURED, "memory, 2026-11-21, 5 000 idle devices"
    ),
    "connections of a node": Constant(20_000, "", Origin.ASSUMED, "the default of connections_max"),
    "heartbeat": Constant(25, "s", Origin.ASSUMED, "the default of heartbeat; two frames each"),
    "heartbeat frame": Constant(8, "µs CPU", Origin.ASSUMED, "a bare send is 4 to 11 µs"),
    "look": Constant(15, "s", Origin.ASSUMED, "LEISURE of the reconciler"),
    "thorough look": Constant(900, "s", Origin.ASSUMED, "THOROUGH of the reconciler"),
    "footprint, postgres": Constant(0.15, "µs CPU", Origin.MEASURED, _NAMES),
    "footprint, node": Constant(0.3, "µs CPU", Origin.MEASURED, _NAMES),
    "names of a look": Constant(1e6, "", Origin.ASSUMED, "50 in each of 20 000 footprints"),
    "head, postgres": Constant(3, "µs CPU", Origin.ASSUMED, "1 000 heads: a few milliseconds"),
    "head, node": Constant(15, "µs CPU", Origin.ASSUMED, "a read and its answer in the node"),
    "canary": Constant(10, "µs CPU", Origin.ASSUMED, "each node hears each node once a second"),
    "push": Constant(700, "B", Origin.ASSUMED, "a notification of the benchmarks, and TCP"),
    "commit, WAL": Constant(150e6, "B/s", Origin.ASSUMED, "a disk that syncs 150 MB/s"),
    "full node": Constant(
        0.8, "of a core", Origin.ASSUMED, "a node waits for commits: 76 % in cluster-delivery-1"
    ),
}
UNICAST: Final = "acknowledged delivery, 500 devices"
FAN_OUT: Final = "fan-out to 1000 users with acks"
POSTGRES: Final = "acknowledged delivery, 1 node, Postgres"
_NODE: Final = {"node, unicast": UNICAST, "node, fan-out": FAN_OUT}
"""By the constant, the row of the benchmarks that it is."""


def constants_of(records: Sequence[Record]) -> Constants:
    """All constants, with a node's costs of the last of *records* that has them.

    The costs of Postgres come from there too, if one has them. Raises `LookupError` if none has one
    of a node's.
    """
    found = dict(_KNOWN)
    for name, row in (*_NODE.items(), ("postgres, unicast", POSTGRES)):
        having = [each for each in records if each.store == "postgres" and row in each.costs]
        if not having and row == POSTGRES:
            continue
        if not having:
            raise LookupError(f"no run on Postgres has {row!r}: ./dev bench --only … --json")
        last = having[-1]
        source = f"{row}, {last.on}, commit {last.commit}, a bare send {last.bare_send:g} µs"
        found[name] = Constant(last.costs[row], "µs CPU", Origin.MEASURED, source)
    return found


def read(path: Path = HISTORY) -> Constants:
    """As `constants_of`, for the file *path*: a line of JSON for each run.

    Raises `OSError`, `LookupError`, and `msgspec.DecodeError` for other text.
    """
    return constants_of(recorded(path))
