"""Fixtures that every test may use."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
import structlog

from servers.authority import certify
from servers.postgres import DatabaseServer, GivenPostgres, Postgres
from servers.redis import BusServer, GivenRedis, Redis

# How long an input takes depends on what else the machine does.
hypothesis.settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    # As Hypothesis's own profile for CI has it: what fails there is to fail for who looks into it,
    # and a change is not refused for an old fault that chance has found. Elsewhere chance searches.
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("busy")
KEPT_LOGS = pytest.StashKey[list[str]]()
S = TypeVar("S", Postgres, Redis)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run the long fault tests as well")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KEPT_LOGS] = []
    # A shell without job control has what it starts with `&` ignore Ctrl-C, and all that is started
    # by that inherits it: commands that tests interrupt would go on for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where `rich` is installed (a tool of ours brings it), structlog's default shows every local
    # variable of a traceback, and keeps what it shows alive.
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure([structlog.processors.add_log_level, plain])


@pytest.hookimpl(tryfirst=True)  # before the markers that were asked for are looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, which pytest counts and shows, what was not asked for."""
    for item in items:
        expect_virtual_time(item)
        if item.get_closest_marker("faults"):
            item.add_marker("alone")
    if config.getoption("--faults"):
        return
    faults = [item for item in items if item.get_closest_marker("faults")]
    if faults:
        config.hook.pytest_deselected(items=faults)
        items[:] = [item for item in items if item not in faults]


def expect_virtual_time(item: pytest.Item) -> None:
    """Refuse a test that would wait in earnest: pytest-trio sees the clock in a test's own
    arguments only, and not behind another fixture.
    """
    if isinstance(item, pytest.Function) and "autojump_clock" in item.fixturenames:
        own = inspect.signature(item.function).parameters
        if "autojump_clock" not in own:
            raise pytest.UsageError(f"{item.nodeid} has to take autojump_clock itself")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for log in config.stash[KEPT_LOGS]:
        terminalreporter.write_line(f"Server log kept: {log}")


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: most tests wait for a server, or a server for its clock.

    Each costs 6 s of a core, to collect the tests, and has servers of its own.
    """
    return 2 * (os.cpu_count() or 1) + 2


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kept logs"] = session.config.stash[KEPT_LOGS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Remember what a worker has kept; it shows no summary itself."""
    kept = getattr(node, "workeroutput", {}).get("kept logs", [])
    node.config.stash[KEPT_LOGS] += kept


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """The server that all tests share; a test that harms its server takes `own_postgres`."""
    if url := os.environ.get("TOCSIN_TEST_DATABASE_URL"):
        given = GivenPostgres(url)
        yield given
        given.close()
    else:
        yield from run(request, Postgres())


@pytest.fixture
def own_postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A durable server, ready in a second, for one test alone to stop, restart and pause."""
    yield from run(request, Postgres(durable=True))


@pytest.fixture
def postgres_url(postgres: DatabaseServer) -> str:
    """The URL of a new, empty database."""
    return postgres.create_database()


def run(request: pytest.FixtureRequest, server: S) -> Iterator[S]:
    """Start *server* and close it; its log is kept if a test failed meanwhile."""
    failed_before = request.session.testsfailed
    try:
        server.start()
        yield server
    finally:
        keep = request.session.testsfailed > failed_before
        server.close(keep_log=keep)
        if keep:
            request.config.stash[KEPT_LOGS].append(str(server.log))


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[BusServer]:
    """The server that all tests share; a test that harms its server takes `own_redis`."""
    if url := os.environ.get("TOCSIN_TEST_REDIS_URL"):
        given = GivenRedis(url)
        yield given
        given.close()
    else:
        yield from run(request, Redis())


@pytest.fixture
def own_redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A durable server for one test alone to stop, restart, pause and empty."""
    yield from run(request, Redis(durable=True))


@pytest.fixture
def tls_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Redis]:
    """A server that speaks TLS alone, by a certificate of an authority of its own."""
    yield from run(request, Redis(certified=certify(tmp_path / "certified")))


@pytest.fixture
def redis_url(redis_server: BusServer) -> str:
    """The URL of an empty database."""
    return redis_server.create_database()
