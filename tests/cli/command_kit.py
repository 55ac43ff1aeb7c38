"""Running the commands: `tocsin listen` as a process, and what a command printed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from servers.node import PATIENCE, wait_until
from tests.system.server_kit import Server

Command = Callable[..., Result]


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
        code = self._process.wait(PATIENCE)
        assert "Traceback" not in self.news, self.news
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def last_line(result: Result) -> str:
    """The text that stands alone on the last line of a success."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]
