"""Nodes and their balancer as processes of this machine, on services that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

from servers.haproxy import HAProxy
from servers.machine import free_port
from servers.node import Node, wait_until

NODES: Final = 3
"""As many as `haproxy.cfg` names."""

N = TypeVar("N", bound=Node)


class Topology(Generic[N]):
    """Three nodes, `node-1` to `node-3`, behind a balancer.

    *kind* is the class of the nodes, such as one that speaks the language of a test. *settings* are
    flags of all nodes without the dashes, with `database` and `redis`; *own* are those of single
    nodes, by name. `front` is the balancer's address: a node to talk to, and no process. What is
    said to it reaches a node of the balancer's choice.
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
        """Start everything, and return when all nodes are ready and hear each other."""
        # Side by side: one of them makes the tables, and the others wait for these only.
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda node: node.start(), self.nodes))
        self.balancer.start()
        wait_until(lambda: all(is_whole(node) for node in self.nodes), what="all hops")
        return self

    def close(self) -> None:
        """End everything at once."""
        self.front.close()
        self.balancer.close()
        for node in self.nodes:
            node.close()

    def stop(self) -> list[int]:
        """Stop all nodes in order, then the balancer; the nodes' exit codes."""
        with ThreadPoolExecutor() as threads:
            codes = list(threads.map(lambda node: node.stop(), self.nodes))
        self.close()
        return codes

    def node(self, name: str) -> N:
        """The node of this name."""
        return next(node for node in self.nodes if node.settings["node"] == name)

    def expect_no_bugs(self) -> None:
        """Whatever the world did to them, nothing of the nodes' own code has failed."""
        for node in self.nodes:
            node.expect_no_bugs()


def is_whole(node: Node) -> bool:
    """Whether every hop of *node* works."""
    whole: bool = node.http.get("/readyz").json()["status"] == "ok"
    return whole
