"""A receiver of webhooks: a server of the shop's, which can be down, refuse, hang, and be back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server

OPEN = {"webhook-http": "on", "outbound-allow": "127.0.0.0/8"}
"""Settings with which a server sends to this machine."""


class Receiver:
    """Keeps what it took; *status* decides what it answers, also by the receipts of a request."""

    def __init__(self, port: int = 0) -> None:
        self.status: Callable[[dict[str, Any]], int] = lambda _: 204
        self.headers: dict[str, str] = {}
        self.taken: list[dict[str, Any]] = []
        self.asked: list[tuple[float, dict[str, str], bytes]] = []
        self.hanging = threading.Event()
        self.connections: list[socket.socket] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver.connections.append(self.connection)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.answer(headers, body)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass  # a node that dies in the middle is what some tests are about

        self._server = Listener(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def answer(self, headers: dict[str, str], body: bytes) -> int:
        self.asked.append((time.monotonic(), headers, body))
        while self.hanging.is_set():
            time.sleep(0.05)  # waits for: the test to let go
        said = json.loads(body)
        status = self.status(said)
        if 200 <= status < 300 and said["type"] != "test":
            data = said["data"]
            self.taken += data.get("receipts", [data])
        return status

    def kinds(self, kind: str = "delivered") -> list[str]:
        """The notifications of the receipts of *kind* that were taken, in order, each once."""
        return list(
            dict.fromkeys(each["notification"] for each in self.taken if each["kind"] == kind)
        )

    def wait(self, count: int, kind: str = "delivered", patience: float = 30.0) -> list[str]:
        """The first *count* of `kinds`, once they are there."""
        wait_until(lambda: len(self.kinds(kind)) >= count, patience=patience, what="receipts")
        return self.kinds(kind)[:count]

    def close(self) -> None:
        """Hang up on everybody, as a receiver that is down."""
        self.hanging.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for each in self.connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Hooks:
    """An operator of *server* who looks after webhooks."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def ask(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        return self._server.http.request(
            method, f"/v1/webhooks{path}", headers=bearer(ADMIN), **options
        )

    def make(self, url: str, **fields: Any) -> dict[str, Any]:
        return expect_json(self.ask("POST", json={"url": url, **fields}), 201)

    def show(self, hook: dict[str, Any]) -> dict[str, Any]:
        return expect_json(self.ask("GET", f"/{hook['id']}"))

    def do(self, hook: dict[str, Any], act: str, **body: Any) -> dict[str, Any]:
        return expect_json(self.ask("POST", f"/{hook['id']}/{act}", json=body))


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is right: the receiver's half of Standard Webhooks."""
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    right = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return f"v1,{right}" in headers["webhook-signature"].split(" ")
