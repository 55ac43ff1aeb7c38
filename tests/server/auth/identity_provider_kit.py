"""An identity provider on a real socket: it serves a JSON Web Key Set and can misbehave."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import trio
import trio.testing


class IdentityProvider:
    """Serves `keys` over HTTP on this machine. Its answer can be changed at any time."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None  # instead of the keys
        self.requests = 0
        self.url = ""
        self._requested = trio.Event()
        self._open = trio.Event()
        self._open.set()
        self._scope = trio.CancelScope()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/keys.json"
        with self._scope:
            task_status.started()
            await trio.serve_listeners(self._answer, [listener])

    async def stop(self) -> None:
        """Close the door: from here on connections are refused."""
        self._scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    def hold(self) -> None:
        """Take requests and let them wait, until `release`."""
        self._open = trio.Event()

    def release(self) -> None:
        self._open.set()

    async def expect_requests(self, count: int) -> None:
        with trio.fail_after(5):
            while self.requests < count:
                await self._requested.wait()

    async def _answer(self, stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = await stream.receive_some(4096)
            if not chunk:
                return
            head += chunk
        self.requests += 1
        self._requested.set()
        self._requested = trio.Event()
        await self._open.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        headers = {"Content-Length": str(len(body)), "Connection": "close", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with suppress(trio.BrokenResourceError):  # when the client has heard enough
            await stream.send_all(f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode() + body)
            await stream.aclose()
