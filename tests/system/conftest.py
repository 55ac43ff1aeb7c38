"""Servers to test from outside. Most tests share two for each store, and never a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.system.kit import Device, Producer, Server, fresh_user

HASTY = {
    "resend-delay": 0.3,
    "resend-limit": 3,
    "delivery-attempts-max": 5,
    "heartbeat": 0.5,
    "hello-timeout": 0.5,
    "ticket-lifetime": 0.5,
}
"""For what happens only after a while."""


Store = Callable[[], dict[str, Any]]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest) -> Store:
    """Makes new, empty stores; returns the settings that choose one."""
    if request.param == "sqlite":
        return dict
    postgres = request.getfixturevalue("postgres")
    return lambda: {"database": postgres.create_database()}


@pytest.fixture(scope="session")
def server(new_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings that it comes with."""
    yield from run_server(Server(tmp_path_factory.mktemp("server"), new_store()))


@pytest.fixture(scope="session")
def hasty(new_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for nobody for long."""
    yield from run_server(Server(tmp_path_factory.mktemp("hasty"), {**HASTY, **new_store()}))


@pytest.fixture(autouse=True)
def sound(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to a shared server: it serves, and nothing of its own went wrong."""
    shared: list[Server] = [
        request.getfixturevalue(name)
        for name in ("server", "hasty")
        if name in request.fixturenames
    ]
    sizes = [each.log_size for each in shared]
    yield
    for each, size in zip(shared, sizes, strict=True):
        each.expect_sound(size)


@pytest.fixture
def start_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Server]]:
    """Starts servers of a test's own; settings with underscores."""
    servers: list[Server] = []

    def start(environment: dict[str, str] | None = None, **settings: object) -> Server:
        flags = {name.replace("_", "-"): value for name, value in settings.items()}
        directory = tmp_path_factory.mktemp("own")
        servers.append(Server(directory, flags, environment=environment))
        return servers[-1].start()

    yield start
    for each in servers:
        each.close()
    for each in servers:
        each.expect_no_bugs()


@pytest.fixture
def producer(server: Server) -> Producer:
    return server.producer()


@pytest.fixture
def ada() -> str:
    return fresh_user("ada")


@pytest.fixture
def phone(server: Server, ada: str) -> Iterator[Device]:
    """A device of Ada's that is live."""
    with server.device(ada, "phone") as device:
        device.expect_synced()
        yield device


def run_server(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.close()
    server.expect_no_bugs()
