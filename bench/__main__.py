"""Run scenarios several times on each store, and print the medians as a table.

This module has the names of the scenarios and imports nothing but the standard library, so that
`./dev bench --help` answers before there is an environment. `bench.runner` does the measuring.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

OF_ONE_NODE: Final = (
    *("single", "posts", "paced", "at-once", "batch", "pages", "health", "metrics"),
    *("publish", "delivery-500", "delivery-5000", "writes"),
    *("fan-out-1000", "fan-out-5000", "fan-out-acks-1000", "fan-out-acks-5000", "one-user"),
    *("replay", "memory", "latency", "topic", "inbox-pages", "idle-polls"),
    *("streams", "polls", "poll-storm", "connects", "first-connects", "spectator"),
)
CHECKED: Final = ("posts", "publish", "delivery-500", "fan-out-acks-1000", "batch", "pages")
"""The scenarios that `--check` runs by itself: the hot paths."""
OF_BROKERS: Final = ("ingest-redis", "ingest-rabbitmq", "ingest-kafka", "ingest-sqs")
"""Scenarios with a broker; they run only if they are named, because some brokers need Java."""
OF_A_CLUSTER: Final = (
    *("cluster-cross", "cluster-delivery-1", "cluster-delivery-2", "cluster-delivery-3"),
    *("cluster-latency", "cluster-reconnect", "cluster-drain", "cluster-quiet"),
)


def main() -> None:
    """Parse the arguments and measure."""
    names = (*OF_ONE_NODE, *OF_A_CLUSTER)
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="./dev bench", description=about)
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--runs", type=int, default=3, help="the table shows medians of these")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*names, *OF_BROKERS),
        metavar="SCENARIO",
        help=f"may be repeated; there are {', '.join((*names, *OF_BROKERS))}",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the commit before, in turns, and fail if a cost is 5 %% dearer",
    )
    parser.add_argument(
        "--record", action="store_true", help="note the costs in the history, and draw it anew"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="append the costs to a file, as lines of JSON that ./dev capacity reads",
    )
    options = parser.parse_args()

    # Late, because these import asyncpg, Redis and the scenarios.
    if options.check:
        from bench.checking import check

        stores = ("sqlite", "postgres") if options.store == "both" else (options.store,)
        chosen = [name for name in options.only or CHECKED if name in OF_ONE_NODE]
        passed = [check(store, chosen, options.runs) for store in stores]
        raise SystemExit(not all(passed))
    from bench.runner import run

    # A cluster has no SQLite.
    everything = OF_ONE_NODE if options.store == "sqlite" else names
    chosen = options.only or list(everything)
    run(options.store, chosen, options.runs, note=options.record, json=options.json)


if __name__ == "__main__":
    main()
