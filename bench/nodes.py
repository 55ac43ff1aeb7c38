"""Several nodes that hear each other over one Redis."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from bench.server import Server

Nodes = Sequence[Server]

_READY_TIMEOUT: Final = 20.0  # seconds


@contextmanager
def open_nodes(
    count: int, database: str, redis: str, process: int | None = None, **settings: str
) -> Iterator[list[Server]]:
    """Run *count* nodes on these services during the block; they hear each other when it begins.

    *process* is the id of Postgres' first process, if its CPU is to be measured as well;
    *settings* are those of all nodes.

    Raises `AssertionError` if they do not within `_READY_TIMEOUT` seconds.
    """
    common: dict[str, Any] = {"redis": redis, "database": process, **settings}
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(Server(database, node=f"node-{number}", **common))
            for number in range(1, count + 1)
        ]
        deadline = time.monotonic() + _READY_TIMEOUT
        while not all(is_whole(node) for node in nodes):
            assert time.monotonic() < deadline, "the nodes do not hear each other"
            time.sleep(0.05)
        yield nodes


def is_whole(node: Server) -> bool:
    """Whether every hop of *node* (store, bus) works."""
    with urllib.request.urlopen(node.url + "/readyz", timeout=10) as answer:
        return bool(json.load(answer)["status"] == "ok")
