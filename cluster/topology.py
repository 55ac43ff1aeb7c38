"""Nodes and their balancer as processes of this machine, on services that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from servers.haproxy import HAProxy
from servers.postgres import free_port
from tests.system.kit import Server, wait_until

NODES: Final = 3
"""As many as `haproxy.cfg` names."""


class Front(Server):
    """The balancer's address: of a server, the half that is for clients, and no process."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory)
        self.port = port


class Topology:
    """Three nodes, `node-1` to `node-3`, behind a balancer.

    *settings* are flags of all nodes without the dashes, with `database` and `redis`; *own* are
    those of single nodes, by name. Who talks to `front` talks to a node of the balancer's choice.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object],
        *,
        port: int | None = None,
        own: Mapping[str, Mapping[str, object]] | None = None,
        prefixes: Mapping[str, tuple[str, ...]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.nodes: list[Server] = []
        for number in range(1, NODES + 1):
            name = f"node-{number}"
            place = directory / name
            place.mkdir(parents=True, exist_ok=True)
            flags = {"node": name, **settings, **(own or {}).get(name, {})}
            prefix = (prefixes or {}).get(name, ())
            self.nodes.append(Server(place, flags, prefix=prefix, environment=environment))
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        self.balancer = HAProxy(addresses, port or free_port())
        self.front = Front(directory, self.balancer.port)

    def start(self) -> Self:
        """Start everything, and return when all nodes are ready and hear each other."""
        # The first one makes the tables; the others would only wait for it.
        self.nodes[0].start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda node: node.start(), self.nodes[1:]))
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

    def node(self, name: str) -> Server:
        """The node of this name."""
        return next(node for node in self.nodes if node.settings["node"] == name)

    def expect_no_bugs(self) -> None:
        """Whatever the world did to them, nothing of the nodes' own code has failed."""
        for node in self.nodes:
            node.expect_no_bugs()


def is_whole(node: Server) -> bool:
    """Every hop of *node* works."""
    whole: bool = node.http.get("/readyz").json()["status"] == "ok"
    return whole
