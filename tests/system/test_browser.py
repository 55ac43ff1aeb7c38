"""A real browser: its WebSocket, its Origin, its way of closing. Long because of the install."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.system.kit import Server, bearer, expect_json, token, wait_until

pytestmark = pytest.mark.faults

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]

PAGE = """<!doctype html>
<script>
const where = new URLSearchParams(location.search);
let telling = Promise.resolve();  // one after the other, so that they arrive in order
const tell = what => {
  telling = telling.then(() => fetch("/told", {method: "POST", body: JSON.stringify(what)}));
};
const socket = new WebSocket(where.get("url"), where.has("protocol") ? where.get("protocol") : []);
socket.onopen = () => socket.send(JSON.stringify({type: "hello", device: "browser"}));
socket.onerror = () => tell({event: "error"});
socket.onclose = close => tell({event: "close", code: close.code, reason: close.reason});
socket.onmessage = message => {
  const frame = JSON.parse(message.data);
  if (frame.type === "push") socket.send(JSON.stringify({type: "ack", sequence: frame.sequence}));
  tell({event: "frame", protocol: socket.protocol, frame});
};
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    """The browser's program; Debian's is installed if there is none."""
    if found := find_browser():
        return found
    assert os.geteuid() == 0, f"install one of {', '.join(NAMES)}: this test needs a browser"
    for command in (["update"], ["install", "-y", "--no-install-recommends", NAMES[0]]):
        subprocess.run(
            ["apt-get", "-qq", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    found = find_browser()
    assert found is not None
    return found


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Site:
    """A web site on loopback with one page, and what that page has told of itself."""

    def __init__(self) -> None:
        told: Queue[dict[str, Any]] = Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(PAGE.encode(), "text/html")

            def do_POST(self) -> None:
                told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(b"", "text/plain")

            def answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.told = told
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next_frame(self) -> dict[str, Any]:
        told = self.told.get(timeout=30)
        assert told["event"] == "frame", told
        frame: dict[str, Any] = told["frame"]
        return frame

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def visit(browser: str, tmp_path: Path) -> Iterator[Any]:
    """Opens pages, each in a browser of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def visit(page: str) -> None:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        profile = f"--user-data-dir={tmp_path / str(len(processes))}"
        command = [browser, *options, profile, page]
        processes.append(
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    yield visit
    for process in processes:
        # The whole group: Debian's program is a script, which would end without the browser.
        os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        process.wait(30)


def ticket_url(server: Server, user: str) -> str:
    answer = server.http.post("/v1/tickets", headers=bearer(token(user)))
    return f"{server.websocket_url}?ticket={expect_json(answer, 201)['ticket']}"


@pytest.mark.parametrize("protocol", [None, "tocsin.v1.json"])
def test_a_page_receives_and_acknowledges(start_server, site: Site, visit, ada, protocol):
    server = start_server(origins=site.origin)
    producer = server.producer()
    query = {"url": ticket_url(server, ada), **({"protocol": protocol} if protocol else {})}

    visit(f"{site.origin}/?{urlencode(query)}")

    assert site.next_frame()["type"] == "welcome"
    assert site.next_frame()["type"] == "synced"
    notification = producer.post(ada, title="Grüße \U0001f514")
    assert site.next_frame()["notification"]["title"] == "Grüße \U0001f514"
    wait_until(lambda: producer.ledger(notification)["browser"]["outcome"] == "acknowledged")
    server.stop()
    assert site.next_frame()["type"] == "goodbye"
    assert site.told.get(timeout=30) == {"event": "close", "code": 4000, "reason": "draining"}


def test_a_page_of_another_origin_gets_nothing(start_server, site: Site, visit, ada):
    server = start_server(origins="https://app.example")

    visit(f"{site.origin}/?{urlencode({'url': ticket_url(server, ada)})}")

    assert site.told.get(timeout=30) == {"event": "error"}
    assert site.told.get(timeout=30)["code"] == 1006
