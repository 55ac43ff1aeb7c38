"""Servers to test from outside. Most tests share two for each store, and never a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cluster.topology import Topology
from servers.postgres import DatabaseServer
from tests.system.cluster_faults_kit import NewCluster
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user
from tests.system.shared_servers_kit import HASTY, SharedServers, Store


@pytest.fixture(scope="session")
def sqlite_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    servers = SharedServers(dict, tmp_path_factory)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def postgres_servers(
    postgres: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServers]:
    servers = SharedServers(lambda: {"database": postgres.create_database()}, tmp_path_factory)
    yield servers
    servers.close()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest) -> Store:
    if request.param == "sqlite":
        return Store("sqlite", dict)
    postgres = request.getfixturevalue("postgres")
    return Store("postgres", lambda: {"database": postgres.create_database()})


@pytest.fixture(scope="session")
def shared_servers(request: pytest.FixtureRequest, new_store: Store) -> SharedServers:
    servers: SharedServers = request.getfixturevalue(f"{new_store.kind}_servers")
    return servers


@pytest.fixture(scope="session")
def server(shared_servers: SharedServers) -> Server:
    """A server with the settings that it comes with."""
    return shared_servers.get("server", {})


@pytest.fixture(scope="session")
def hasty(shared_servers: SharedServers) -> Server:
    """A server that waits for nobody for long."""
    return shared_servers.get("hasty", HASTY)


@pytest.fixture(autouse=True)
def sound(request: pytest.FixtureRequest) -> Iterator[None]:
    """A shared server serves after every test, and nothing of its own went wrong."""
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


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[NewCluster]:
    """Starts a cluster on these services; further arguments are those of `Topology`."""
    with ExitStack() as stack:

        def start(
            database: str,
            redis: str,
            settings: Mapping[str, object] | None = None,
            **options: object,
        ) -> Topology[Server]:
            flags = {
                "database": database,
                "redis": redis,
                "resend-delay": 2,
                "resend-limit": 30,  # a device that is not heard for a while stays
                "drain-time": 4,
                **(settings or {}),
            }
            made = Topology(Server, tmp_path / "cluster", flags, **options)  # type: ignore[arg-type]
            stack.callback(made.expect_no_bugs)
            stack.enter_context(closing(made))
            return made.start()

        yield start
