"""A program that follows a user with the client for browsers, in Node, and what it tells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from queue import Queue
from threading import Thread
from typing import Any, Protocol, Self

import pytest

from servers.node import PATIENCE, ROOT
from servers.program import find_binary
from servers.tokens import token

SCRIPT = ROOT / "tests" / "browser" / "follow.mjs"


def web_socket_command() -> list[str]:
    """Node with a WebSocket of its own: without asking from 22 on, and by a flag in 20."""
    node = find_binary("node", "nodejs")
    for flags in [], ["--experimental-websocket"]:
        command = [node, *flags, "-p", "typeof WebSocket"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "function":
            return [node, *flags]
    pytest.skip("this Node has no WebSocket; 20.10 and later do")


class Page:
    """A program that follows a user with the client, and what it has told."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._told: Queue[dict[str, Any]] = Queue()
        self.seen: list[dict[str, Any]] = []
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.put(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def expect(self, event: str, holds: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """The next event of the kind of which this holds."""
        while True:
            told = self._told.get(timeout=PATIENCE)
            self.seen.append(told)
            if told["event"] == event and holds(told):
                return told

    def expect_push(self) -> str:
        title: str = self.expect("push")["title"]
        return title

    def ask(self, *command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self.expect("done")["failure"] is None


class HasUrl(Protocol):
    @property
    def url(self) -> str: ...


Follow = Callable[..., AbstractContextManager[Page]]


def follow_with(command: list[str]) -> Follow:
    """Gives a function that follows *user* as *device*; the push with the title *refuse* is refused
    once."""

    @contextmanager
    def start(server: HasUrl, user: str, device: str = "page", refuse: str = "") -> Iterator[Page]:
        with Page([*command, str(SCRIPT), server.url, token(user), device, refuse]) as page:
            page.expect("state", lambda told: told["phase"] == "connected")
            yield page

    return start
