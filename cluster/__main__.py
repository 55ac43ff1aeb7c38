"""`./dev cluster`: a whole cluster on this machine, without Docker, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from cluster.topology import Topology
from tests.servers.haproxy import find_binary
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tocsin.cli.node_process import greeting
from tocsin.secrets import DevelopmentSecrets
from tocsin.settings import Settings


def main() -> None:
    """Start Postgres, Redis, three nodes and HAProxy; end them on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="where HAProxy listens")
    parser.add_argument(
        "--data", type=Path, default=Path("tocsin-data"), help="keeps the development secret"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="name=value", help="settings of all nodes, as of `serve`"
    )
    options = parser.parse_args()
    settings = dict(each.split("=", 1) for each in options.settings)
    with interrupts():
        run(options.port, options.data.absolute(), settings)


def run(port: int, data: Path, settings: dict[str, str]) -> None:
    """Until interrupted."""
    began = time.monotonic()
    find_binary("haproxy")  # before anything else is started
    secrets = DevelopmentSecrets.open(Settings(data=data), os.urandom)
    assert secrets.jwt_secret is not None
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-cluster-")))
        postgres = stack.enter_context(closing(Postgres(durable=True)))
        postgres.start()
        redis = stack.enter_context(closing(Redis()))
        redis.start()
        cluster = Topology(
            directory,
            {
                "database": postgres.create_database(),
                "redis": redis.url,
                "data": data,
                "drain-time": 8,
                **settings,
            },
            port=port,
            environment={"TOCSIN_JWT_SECRET": secrets.jwt_secret},
        )
        stack.callback(cluster.close)
        cluster.start()
        print(greeting(Settings(data=data, node="cluster"), port, secrets, time.time()))
        print(about(cluster, postgres, redis, time.monotonic() - began), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("\n./dev cluster: stopping; Ctrl-C again does not wait for goodbyes", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                sys.exit(int(any(cluster.stop())))


def about(cluster: Topology, postgres: Postgres, redis: Redis, seconds: float) -> str:
    """What runs where: to look at, and to harm."""
    lines = [f"Ready after {seconds:.1f} s. What runs, with its process:", ""]
    for node in cluster.nodes:
        name = str(node.settings["node"])
        lines.append(f"  {name:9} {node.process.pid:>7}  {node.url}  {node.directory / 'log'}")
    lines.append(f"  postgres  {postgres.pid:>7}  {postgres.url}")
    lines.append(f"  redis     {redis.pid:>7}  {redis.url}")
    lines += ["", "Try what a cluster is for: kill -9 one of them. Ctrl-C ends everything."]
    return "\n".join(lines)


@contextmanager
def interrupts() -> Iterator[None]:
    """SIGTERM and the terminal's end are as Ctrl-C, so that what was started is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
