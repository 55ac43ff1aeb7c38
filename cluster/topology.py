"""Nodes and their balancer as processes of this machine, on a Postgres and a Redis that run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

from servers.haproxy import HAProxy
from servers.machine import free_port
from servers.node import Node, wait_until

NODES: Final = 3
"""The number of nodes that `haproxy.cfg` names."""

N = TypeVar("N", bound=Node)


class Topology(Generic[N]):
    """Three nodes, `node-1` to `node-3`, behind a balancer.

    *kind* is the class of the nodes: `Node`, or a subclass with the verbs of a test. *settings* are
    the flags of all nodes without their dashes, among them `database` and `redis`; *own* are the
    flags of single nodes, by the node's name. *prefixes* are commands to start single nodes with.

    `front` is a `Node` with the balancer's address and no process: a request to it reaches a node
    of the balancer's choice.
    """

    def __init__(
        self,
        kind: type[N],
        directory: Path,
        settings: Mapping[str, object],
        *,
        port: int | None = None,
        own: Mapping[str, Mapping[str, object]] | None = None,
        prefixes: Mapping[str, tuple[str, ...]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.nodes: list[N] = []
        for number in range(1, NODES + 1):
            name = f"node-{number}"
            place = directory / name
            place.mkdir(parents=True, exist_ok=True)
            flags = {"node": name, **settings, **(own or {}).get(name, {})}
            prefix = (prefixes or {}).get(name, ())
            self.nodes.append(kind(place, flags, prefix=prefix, environment=environment))
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        self.balancer = HAProxy(addresses, port or free_port())
        self.front = kind(directory, port=self.balancer.port)

    def start(self) -> Self:
        """Start everything, and return when all nodes are ready and hear each other.

        Raises `RuntimeError` or `AssertionError` if a process does not start.
        """
        # All nodes at once: one of them makes the tables, and the others wait for that alone.
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda node: node.start(), self.nodes))
        self.balancer.start()
        wait_until(lambda: all(is_whole(node) for node in self.nodes), what="all hops")
        return self

    def close(self) -> None:
        """Kill everything at once, without goodbyes."""
        self.front.close()
        self.balancer.close()
        for node in self.nodes:
            node.close()

    def stop(self) -> list[int]:
        """Drain and stop all nodes at once, then end the balancer; the nodes' exit codes."""
        with ThreadPoolExecutor() as threads:
            codes = list(threads.map(lambda node: node.stop(), self.nodes))
        self.close()
        return codes

    def node(self, name: str) -> N:
        """The node of this *name*, such as `node-2`. Raises `StopIteration` if there is none."""
        return next(node for node in self.nodes if node.settings["node"] == name)

    def expect_no_bugs(self) -> None:
        """Raise `AssertionError` if a node has logged an exception of its own code."""
        for node in self.nodes:
            node.expect_no_bugs()


def is_whole(node: Node) -> bool:
    """Whether every hop of *node* works."""
    whole: bool = node.http.get("/readyz").json()["status"] == "ok"
    return whole
