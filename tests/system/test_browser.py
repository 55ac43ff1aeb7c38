"""A real browser: its WebSocket, its Origin, its way of closing. Long because of the install."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlencode

import pytest

from servers.chromium import find_browser
from servers.nginx import Nginx
from servers.node import wait_until
from servers.proxy import Proxy
from servers.tokens import bearer, token
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server

pytestmark = pytest.mark.faults

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


STREAM_PAGE = """<!doctype html>
<script>
const where = new URLSearchParams(location.search);
const pause = () => new Promise(done => setTimeout(done, 50));
const say = async what => {
  while (true) {
    try { return await fetch("/told", {method: "POST", body: JSON.stringify(what)}); }
    catch { await pause(); }  // what cuts the stream may cut this as well, and it is told again
  }
};
let telling = Promise.resolve(), number = 0;
const tell = what => {
  const numbered = {...what, number: number++};
  telling = telling.then(() => say(numbered));
};
const source = new EventSource(where.get("url"));
source.onerror = () => tell({event: "error", state: source.readyState});
for (const name of ["welcome", "push", "synced", "reset", "goodbye"])
  source.addEventListener(name, event => tell({event: "frame", frame: JSON.parse(event.data)}));
</script>
"""
CONNECTING = 0
"""The state of an EventSource that comes back by itself; 2 is of one that does not."""


@pytest.fixture(scope="module")
def browser() -> str:
    """The browser's program; Debian's is installed if there is none."""
    return find_browser()


class Site:
    """A web site on loopback with one page, and what that page has told of itself."""

    def __init__(self) -> None:
        told: Queue[dict[str, Any]] = Queue()
        numbers: set[int | None] = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = STREAM_PAGE if self.path.startswith("/stream") else PAGE
                self.answer(page.encode(), "text/html")

            def do_POST(self) -> None:
                what = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                number = what.pop("number", None)
                if number is None or number not in numbers:
                    told.put(what)
                numbers.add(number)
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

    def next_frame(self, *, after_errors: bool = False) -> dict[str, Any]:
        """The next frame; *after_errors* that did not keep an EventSource from coming back."""
        told = self.told.get(timeout=30)
        while after_errors and told == {"event": "error", "state": CONNECTING}:
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
        # Those of our own proxies are signed by nobody.
        command = [browser, *options, "--ignore-certificate-errors", profile, page]
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


# --- EventSource --------------------------------------------------------------------------------


@dataclass
class Front:
    """A server behind a network that can be cut, and where its page is."""

    server: Server
    network: Proxy
    page: str

    def follow(self, user: str) -> str:
        """The address of a page that follows the inbox of *user* with a ticket of a stream."""
        asked = {"for": "stream", "device": "browser"}
        answer = self.server.http.post("/v1/tickets", json=asked, headers=bearer(token(user)))
        ticket = expect_json(answer, 201)["ticket"]
        url = f"{self.network.url}/v1/inbox/stream?ticket={ticket}"
        return f"{self.page}?{urlencode({'url': url})}"


@pytest.fixture
def front(start_server, site: Site) -> Iterator[Front]:
    server = start_server(origins=site.origin)
    with Proxy(server.url) as network:
        yield Front(server, network, f"{site.origin}/stream")


@pytest.fixture
def front_of_one_origin(start_server, site: Site) -> Iterator[Front]:
    """The page and the API have one address, as behind most proxies."""
    server = start_server()
    pages = f"location ~ ^/(stream|told) {{ proxy_pass {site.origin}; }}"
    streaming = "proxy_http_version 1.1; proxy_set_header Host $http_host;"
    node = f"127.0.0.1:{server.port}"
    with (
        Nginx([node], server=pages, location=streaming) as nginx,
        Proxy(nginx.url) as network,
    ):
        yield Front(server, network, f"{network.url}/stream")


@pytest.mark.parametrize("kind", ["front", "front_of_one_origin"])
def test_an_eventsource_that_is_cut_off_comes_back_and_gets_what_it_missed_once(
    request: pytest.FixtureRequest, kind, site: Site, visit, ada
):
    front: Front = request.getfixturevalue(kind)
    producer = front.server.producer()
    visit(front.follow(ada))
    assert site.next_frame()["device"] == "browser"
    assert site.next_frame()["type"] == "synced"
    first = producer.post(ada, title="1")
    assert site.next_frame()["notification"]["title"] == "1"

    for titles in ("23", "45"):
        front.network.cut()
        wait_until(lambda: front.server.metric("tocsin_sessions") == 0)
        for title in titles:
            producer.post(ada, title=title)
        front.network.heal()

        assert site.told.get(timeout=30) == {"event": "error", "state": CONNECTING}
        welcome = site.next_frame(after_errors=True)
        assert (welcome["type"], welcome["resumed"]) == ("welcome", True)
        for title in titles:
            push = site.next_frame()
            assert (push["notification"]["title"], push["attempt"]) == (title, 1)
        assert site.next_frame()["type"] == "synced"
    # Its Last-Event-ID has acknowledged what it had.
    assert producer.ledger(first)["browser"]["outcome"] == "acknowledged"
    producer.post(ada, title="6")
    assert site.next_frame()["notification"]["title"] == "6"
    assert site.told.empty()


def test_an_eventsource_that_was_cut_off_before_it_heard_anything_comes_back(
    front: Front, site: Site, visit, ada
):
    front.server.producer().post(ada, title="1")
    front.network.slow(2.0)
    visit(front.follow(ada))
    # The server has it, and has bound its ticket; but what the server says is still on the way.
    wait_until(lambda: front.server.metric("tocsin_sessions") == 1, patience=60)
    front.network.cut()
    assert site.told.get(timeout=30) == {"event": "error", "state": CONNECTING}
    front.network.heal()

    assert site.next_frame(after_errors=True)["type"] == "welcome"
    assert site.next_frame()["notification"]["title"] == "1"


def test_an_eventsource_outlives_a_server_that_is_restarted(front: Front, site: Site, visit, ada):
    visit(front.follow(ada))
    assert site.next_frame()["type"] == "welcome"
    assert site.next_frame()["type"] == "synced"
    front.server.stop()
    goodbye = site.next_frame()
    assert (goodbye["type"], goodbye["code"]) == ("goodbye", 4000)
    front.server.start()
    front.server.producer().post(ada, title="again")

    assert site.next_frame(after_errors=True)["type"] == "welcome"
    assert site.next_frame()["notification"]["title"] == "again"
