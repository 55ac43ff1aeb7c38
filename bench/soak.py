"""`./dev soak`: a node under modest load for hours, and what it takes of the machine each minute.

What grows with time and not with work is a leak: memory, descriptors, tasks, actors. The node keeps
notifications for a few minutes only (`--retention`), so that its database has to stop growing too:
purging is part of what is soaked. `tocsin load soak` is the load, and its ledger says what was
lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.server import SECRET, Server

_MINUTE: Final = 60.0
"""Seconds between two looks at the node."""
_LEAVING: Final = 30.0
"""Seconds after the load until the last look."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SETTLE: Final = 600.0
"""Seconds that the load may take to connect and to settle, besides the time of posting."""
_RETENTIONS: Final = ("retention", "idempotency_retention", "receipt_retention")
_GROWTH_MAX: Final = 0.1
"""Share by which the last quarter of a soak may be above the second one: caches fill for a while,
and a purge comes in steps."""
_STEADY: Final = ("memory", "descriptors", "tasks", "actors", "database")
_MIB: Final = 1024 * 1024  # bytes
_READINGS: Final = re.compile(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Minute:
    """One look at the node; sizes in bytes, times in seconds since the load began."""

    at: float
    cpu: float
    """CPU that the node has used so far."""
    memory: int
    descriptors: int
    tasks: int
    actors: int
    sessions: int
    pushes: int
    database: int


def main() -> None:
    """Run the soak; the exit code is 1 if the load lost something or the node kept growing."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--duration", default="1h", help="of the posting; such as 10m, 24h")
    parser.add_argument("--posts", default="50", help="posts a second, each to three users")
    parser.add_argument("--devices", default="200")
    parser.add_argument("--cuts", default="0.01", help="share of the connections cut a second")
    parser.add_argument("--retention", default="5m", help="how long the node keeps notifications")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="a folder for the figures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    settings = dict.fromkeys(_RETENTIONS, options.retention)
    with Server("sqlite", resend_delay="5", heartbeat="25", **settings) as server:
        load = start_load(server, options)
        try:
            minutes = list(watch(server, load, options.out, seconds(options.duration)))
            code = load.wait(_SETTLE)
        finally:
            load.kill()
    print(table(minutes))
    growing = [*grown(minutes)]
    for each in growing:
        print(f"GROWS {each}")
    sys.exit(1 if code or growing else 0)


def seconds(text: str) -> float:
    """The seconds in *text*, such as `90s`, `1h`. Raises `SystemExit` for anything else."""
    if not re.fullmatch(r"\d+[smhd]", text):
        raise SystemExit(f"{text} is no time, such as 10m or 24h")
    return int(text[:-1]) * _UNITS[text[-1]]


def start_load(server: Server, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start `tocsin load soak`, which writes its figures into the folder."""
    given = {name: getattr(options, name) for name in ("duration", "posts", "devices", "cuts")}
    flags = [word for name, value in given.items() for word in (f"--{name}", value)]
    files = ["--json", str(options.out / "load.json"), "--html", str(options.out / "load.html")]
    return subprocess.Popen(
        [sys.executable, "-m", "tocsin", "load", "soak", *flags, *files],
        env={**os.environ, "TOCSIN_URL": server.url, "TOCSIN_JWT_SECRET": SECRET},
    )


def watch(
    server: Server, load: subprocess.Popen[bytes], out: Path, duration: float
) -> Iterator[Minute]:
    """Look each minute until the load has ended, and once more a while later: by then all that
    belongs to connections has gone. Every look is written down at once.
    """
    began, ended = time.monotonic(), False
    with (out / "minutes.jsonl").open("w", encoding="utf-8") as written:
        while time.monotonic() - began < duration + _SETTLE:
            minute = look(server, time.monotonic() - began)
            written.write(json.dumps(asdict(minute)) + "\n")
            written.flush()
            yield minute
            if ended:
                return
            with suppress(subprocess.TimeoutExpired):
                load.wait(_MINUTE)
            if ended := load.poll() is not None:
                time.sleep(_LEAVING)


def look(server: Server, at: float) -> Minute:
    """The node at this moment."""
    found = {name: float(value) for name, value in _READINGS.findall(server.admin("/metrics"))}
    tree = json.loads(server.admin("/v1/admin/actors?limit=10000"))
    return Minute(
        at=round(at, 1),
        cpu=round(found["process_cpu_seconds_total"], 1),
        memory=int(found["process_resident_memory_bytes"]),
        descriptors=int(found["process_open_fds"]),
        tasks=int(found["tocsin_tasks"]),
        actors=count_actors(tree["actors"]),
        sessions=int(found["tocsin_sessions"]),
        pushes=int(found['tocsin_pushes_total{transport="websocket"}']),
        database=server.data_bytes,
    )


def count_actors(tree: Sequence[Mapping[str, Any]]) -> int:
    """All actors of *tree*, those that it counts and does not show included."""
    return sum(
        1 + max(each["child_count"] - len(each["children"]), 0) + count_actors(each["children"])
        for each in tree
    )


def grown(minutes: Sequence[Minute]) -> Iterator[str]:
    """What should be steady and was not: medians of the second and of the last quarter differ by
    more than a tenth. A soak of less than eight looks tells nothing.
    """
    quarter = len(minutes) // 4
    if quarter < 2:
        return
    for name in _STEADY:
        early = median(getattr(each, name) for each in minutes[quarter : 2 * quarter])
        late = median(getattr(each, name) for each in minutes[-quarter:])
        if late > early * (1 + _GROWTH_MAX):
            yield f"{name}: {early:g} in the second quarter, {late:g} in the last"


def table(minutes: Sequence[Minute]) -> str:
    """A dozen of *minutes* or so, as a table of Markdown; CPU is the share since the row before."""
    rows = minutes[:: max(1, len(minutes) // 12)]
    lines = [
        "| minute | CPU | memory, MiB | descriptors | tasks | actors | pushes | database, MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    before = None
    for each in rows:
        share = "-" if before is None else f"{(each.cpu - before.cpu) / (each.at - before.at):.0%}"
        before = each
        lines.append(
            f"| {each.at / _MINUTE:.0f} | {share} | {each.memory / _MIB:.1f} | {each.descriptors} "
            f"| {each.tasks} | {each.actors} | {each.pushes} | {each.database / _MIB:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
