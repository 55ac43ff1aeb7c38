"""Stores and servers for tests to share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system.server_kit import Server

HASTY = {
    "resend-delay": 0.3,
    "resend-limit": 3,
    "delivery-attempts-max": 5,
    "heartbeat": 0.5,
    "hello-timeout": 0.5,
    "ticket-lifetime": 0.5,
}
"""For what happens only after a while."""


@dataclass(frozen=True)
class Store:
    """Makes new, empty stores of one kind; each call returns the settings that choose one."""

    kind: str
    make: Callable[[], dict[str, Any]]

    def __call__(self) -> dict[str, Any]:
        return self.make()


class SharedServers:
    """Servers on stores of one kind, each started when it is first asked for.

    They outlive a change of the fixtures' parameter: that comes several times with every file.
    """

    def __init__(
        self, new_store: Callable[[], dict[str, Any]], factory: pytest.TempPathFactory
    ) -> None:
        self._new_store = new_store
        self._factory = factory
        self._servers: dict[str, Server] = {}

    def get(self, name: str, settings: Mapping[str, object]) -> Server:
        if name not in self._servers:
            directory = self._factory.mktemp(name)
            self._servers[name] = Server(directory, {**settings, **self._new_store()})
            self._servers[name].start()
        return self._servers[name]

    def close(self) -> None:
        for each in self._servers.values():
            each.close()
        for each in self._servers.values():
            each.expect_no_bugs()


def run_server(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.close()
    server.expect_no_bugs()
