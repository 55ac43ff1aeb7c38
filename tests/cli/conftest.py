"""The commands as people use them: in this process where nothing but their answer matters, as
processes of their own where they live beside a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.cli.command_kit import Command, Listener
from tests.system.server_kit import Server
from tocsin.cli import main


@pytest.fixture
def tocsin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs `tocsin` with these arguments, in an empty directory and without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TOCSIN_", "_TOCSIN_"))]:
        monkeypatch.delenv(name)

    def tocsin(*arguments: object, **environ: str) -> Result:
        result = CliRunner().invoke(main, [str(each) for each in arguments], env=environ)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # it would have been a traceback
        return result

    return tocsin


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a development secret of its own, that has stopped in a moment."""
    # An empty variable counts as not given.
    environment = {"TOCSIN_JWT_SECRET": ""}
    directory = tmp_path_factory.mktemp("server")
    server = Server(directory, {"drain-time": 0.2}, environment=environment)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def listen(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Listener]]:
    """Starts `tocsin listen` with these arguments, beside the server."""
    listeners: list[Listener] = []

    def listen(*arguments: object) -> Listener:
        directory = tmp_path_factory.mktemp("listen")
        listeners.append(Listener(server, directory, *arguments))
        return listeners[-1]

    yield listen
    for each in listeners:
        each.close()


@pytest.fixture
def beside(server: Server, tocsin: Command) -> Command:
    """As `tocsin`, with the server's data directory and address where the command takes them."""

    def beside(command: str, *arguments: object) -> Result:
        where: list[Any] = ["--url", server.url] if command == "send" else []
        where += ["--data", server.settings["data"]]
        return tocsin(*command.split(), *arguments, *where)

    return beside


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers of a test's own, not started yet."""
    with ExitStack() as stack:

        def make(name: str = "server", **environment: str) -> Server:
            directory = tmp_path / name
            directory.mkdir()
            server = Server(
                directory, {"drain-time": 0.2}, environment={"TOCSIN_JWT_SECRET": "", **environment}
            )
            stack.callback(server.close)
            return server

        yield make
