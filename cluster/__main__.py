"""`./dev cluster`: a whole cluster on this machine, without Docker, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from cluster.services import make_database, make_redis
from cluster.topology import Topology
from servers.node import Node
from servers.postgres import Postgres
from servers.program import find_binary
from tocsin.cli.serving.greeting import greeting
from tocsin.settings import Settings
from tocsin.settings.secrets import DevelopmentSecrets


def main() -> None:
    """Start Postgres, Redis, three nodes and HAProxy; stop them on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="where HAProxy listens")
    parser.add_argument(
        "--data", type=Path, default=Path("tocsin-data"), help="keeps the development secret"
    )
    parser.add_argument(
        "settings",
        nargs="*",
        type=read_setting,
        metavar="name=value",
        help="settings of all nodes, as of `serve`",
    )
    options = parser.parse_args()
    with interrupts():
        try:
            run(options.port, options.data.absolute(), dict(options.settings))
        except (RuntimeError, AssertionError) as refusal:
            # The text says what the operator can mend. The servers that ran have been ended.
            sys.exit(f"./dev cluster: {refusal}")


def read_setting(text: str) -> tuple[str, str]:
    """The name and the value in *text*. Raises `ArgumentTypeError` if it is not `name=value`."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} is not name=value")
    return name, value


def run(port: int, data: Path, settings: dict[str, str]) -> None:
    """Run the cluster until it is interrupted; then stop the nodes, and exit with 1 if one failed.

    *port* is the balancer's, *data* keeps the development secret, *settings* are of all nodes.
    Raises `RuntimeError` or `AssertionError` if a server does not start.
    """
    began = time.monotonic()
    find_binary("haproxy")  # first, because it may be missing: that shows before anything runs
    secrets = DevelopmentSecrets.open(Settings(data=data), os.urandom)
    assert secrets.jwt_secret is not None
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-cluster-")))
        postgres = stack.enter_context(closing(Postgres(durable=True)))
        postgres.start()
        redis = stack.enter_context(closing(make_redis()))
        redis.start()
        database = make_database(postgres)
        cluster = Topology(
            Node,
            directory,
            {"data": data, "drain-time": 8, **settings},
            port=port,
            environment={
                # Not among the arguments, which every user of the machine can read.
                "TOCSIN_DATABASE": database,
                "TOCSIN_REDIS": redis.url,
                "TOCSIN_JWT_SECRET": secrets.jwt_secret,
            },
        )
        stack.callback(cluster.close)
        cluster.start()
        print(greeting(Settings(data=data, node="cluster"), port, secrets, time.time()))
        services = {"postgres": (postgres.pid, database), "redis": (redis.pid, redis.url)}
        print(about(cluster, services, time.monotonic() - began), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("\n./dev cluster: stopping; Ctrl-C again does not wait for goodbyes", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                sys.exit(int(any(cluster.stop())))


def about(
    cluster: Topology[Node], services: dict[str, tuple[int | None, str]], seconds: float
) -> str:
    """A text with the process, URL and log of every server, for a person who tries the cluster."""
    lines = [f"Ready after {seconds:.1f} s. What runs, with its process:", ""]
    for node in cluster.nodes:
        name = str(node.settings["node"])
        lines.append(f"  {name:9} {node.process.pid:>7}  {node.url}  {node.directory / 'log'}")
    lines += [f"  {name:9} {pid!s:>7}  {url}" for name, (pid, url) in services.items()]
    database = services["postgres"][1]
    key = f"TOCSIN_DATABASE={shlex.quote(database)} ./dev key create --scope notify --name mine"
    lines += ["", "Make an API key for it:", "", f"  {key}"]
    lines += ["", "Try what a cluster is for: kill -9 one of them. Ctrl-C ends everything."]
    return "\n".join(lines)


@contextmanager
def interrupts() -> Iterator[None]:
    """Treat SIGTERM and the end of the terminal as Ctrl-C, so that all started servers are ended.

    Exits with 130 after an interrupt.
    """

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
