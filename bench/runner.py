"""Runs scenarios on fresh nodes, and prints their numbers as a table."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import history, plotting
from bench.calibration import bare_send
from bench.cluster_scenarios import CLUSTER_SCENARIOS
from bench.measuring import Row, shown
from bench.nodes import open_nodes
from bench.scenarios import SCENARIOS
from bench.server import Server
from servers.postgres import Postgres
from servers.redis import Redis
from tocsin.cli.serving.descriptors import raise_limit


def run(
    store: str, names: list[str], runs: int, *, note: bool = False, json: Path | None = None
) -> None:
    """Measure the scenarios of these *names* on *store*, and print the tables.

    *note* has the costs of one node recorded, and the picture of the history drawn anew; to *json*
    all costs are appended, those of a cluster included.
    """
    raise_limit()  # of open files: each connection is one
    stores = ("sqlite", "postgres") if store == "both" else (store,)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()};")
    print(f"medians of {runs} runs, each on a fresh node;")
    send = bare_send()
    print(f"a bare send of 500 bytes to each of 1 000 sockets costs {send:.1f} µs CPU now\n")
    of_one = [name for name in names if name in SCENARIOS]
    if of_one:
        measured = {each: measure(each, of_one, runs) for each in stores}
        show(measured)
        if json is not None:
            for each, rows in measured.items():
                history.record(each, rows, send, json)
        if note:
            for each, rows in measured.items():
                history.record(each, rows, send)
            plotting.write()
    of_many = [name for name in names if name in CLUSTER_SCENARIOS]
    if of_many:
        of_cluster = measure_cluster(of_many, runs)
        show({"Postgres and Redis": of_cluster})
        if json is not None:
            history.record("postgres", of_cluster, send, json)


def measure(store: str, names: list[str], runs: int) -> dict[str, Row]:
    """Run the scenarios *runs* times on *store*; the median of each number, by its name."""
    rows: dict[str, list[Row]] = {}
    with databases(store) as fresh:
        for name in names:
            scenario = SCENARIOS[name]
            for _ in range(runs):
                with (
                    scenario.beside() as more,
                    fresh.server({**scenario.settings, **more}) as server,
                ):
                    for row in asyncio.run(scenario.run(server)):
                        rows.setdefault(row.name, []).append(row)
    return medians(rows)


def measure_cluster(names: list[str], runs: int) -> dict[str, Row]:
    """As `measure`, for scenarios of several nodes, on Postgres and Redis."""
    rows: dict[str, list[Row]] = {}
    redis = Redis()
    redis.start()
    try:
        with databases("postgres") as fresh:
            for name in names:
                scenario = CLUSTER_SCENARIOS[name]
                for _ in range(runs):
                    database = redis.create_database()
                    url, more = fresh.make(), scenario.settings
                    with open_nodes(scenario.nodes, url, database, fresh.process, **more) as nodes:
                        for row in asyncio.run(scenario.run(nodes)):
                            rows.setdefault(row.name, []).append(row)
    finally:
        redis.close()
    return medians(rows)


def medians(rows: dict[str, list[Row]]) -> dict[str, Row]:
    return {
        name: Row(
            name,
            statistics.median(row.value for row in several),
            several[0].unit,
            several[0].target,
        )
        for name, several in rows.items()
    }


class Databases(NamedTuple):
    """A supply of fresh databases: *make* gives a URL, *process* is the server's id."""

    make: Callable[[], str]
    process: int | None

    def server(self, settings: Mapping[str, str], tree: Path | None = None) -> Server:
        """A node on a fresh database, which runs the program of the checkout *tree*."""
        return Server(self.make(), database=self.process, tree=tree, **settings)


@contextmanager
def databases(store: str) -> Iterator[Databases]:
    """An endless supply of fresh databases of one kind."""
    if store == "sqlite":
        yield Databases(lambda: "sqlite", None)
        return
    postgres = Postgres(durable=True)
    postgres.start()
    try:
        yield Databases(postgres.create_database, postgres.pid)
    finally:
        postgres.close()


def show(results: dict[str, dict[str, Row]]) -> None:
    """Print *results* (store → name → row) as a table in Markdown."""
    stores = list(results)
    print(f"| measured | {' | '.join(stores)} | target |")
    print(f"|---|{'---:|' * len(stores)}---:|")
    for name in next(iter(results.values())):
        rows = [results[store][name] for store in stores]
        cells = " | ".join(f"{shown(row.value)} {row.unit}".strip() for row in rows)
        target = "" if rows[0].target is None else f"≤ {rows[0].target:g} {rows[0].unit}"
        print(f"| {name} | {cells} | {target} |")
