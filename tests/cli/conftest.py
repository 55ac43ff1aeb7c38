"""The commands as people use them: in this process where nothing but their answer matters, as
processes of their own where they live beside a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from servers.node import ROOT, wait_until
from tests.system.server_kit import Server
from tocsin.cli import main

Command = Callable[..., Result]


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


class Listener:
    """`tocsin listen` as a process, whose output can be waited for."""

    def __init__(self, server: Server, directory: Path, *arguments: object) -> None:
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tocsin", "listen", *map(str, arguments)),
                    *("--url", server.url, "--data", str(server.settings["data"])),
                ],
                cwd=directory,
                env=server.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def news(self) -> str:
        return self._err.read_text()

    def expect(self, text: str, *, count: int = 1) -> str:
        """Wait for *text* in the output, *count* times."""
        wait_until(lambda: self.output.count(text) >= count, what=f"{text!r} from listen")
        return self.output

    def expect_news(self, text: str, *, count: int = 1) -> str:
        """Wait for *text* among what it says about the connection."""
        wait_until(lambda: self.news.count(text) >= count, what=f"{text!r} about the connection")
        return self.news

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(15)
        assert "Traceback" not in self.news, self.news
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


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


def last_line(result: Result) -> str:
    """What stands alone on the last line of a success."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]


__all__ = ["ROOT", "Command", "Listener", "last_line"]
