"""The shop: a web site on loopback, whose backend posts with `tocsin_client`."""

from __future__ import annotations

import http.server
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from demo.posts import BOTH, BURST, DELIVERED, POSTS
from servers.node import Node
from servers.tokens import PRODUCER, bearer, token
from tocsin_client.posts import Posted, draft
from tocsin_client.sync import Producer

PAGES: Final = Path(__file__).parent / "pages"
KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
LEDGER_MAX: Final = 6
"""Posts whose deliveries the page shows."""


@contextmanager
def started_shop(directory: Path, port: int) -> Iterator[Shop]:
    """A shop at *port* (0: any) with a node of its own, whose data is in *directory*."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    origin = f"http://127.0.0.1:{server.server_address[1]}"
    with server, closing(Node(directory, {"origins": origin, "node": "shop-1"})) as node:
        node.start()
        with Producer(node.url, token=PRODUCER) as producer:
            shop = Shop(origin, node.url, producer)
            Handler.shop = shop
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield shop
            finally:
                server.shutdown()


class Shop:
    """The backend of the page at *origin*; *node* is the address of its node."""

    def __init__(self, origin: str, node: str, producer: Producer) -> None:
        self.origin = origin
        self.node = node
        self._producer = producer
        self._posts: deque[tuple[str, str]] = deque(maxlen=LEDGER_MAX)
        self._last_order: str | None = None

    def do(self, name: str) -> None:
        """Do the work of the button *name*. Raises `ApiError`, `KeyError` for an unknown one."""
        if name == "burst":
            drafts = [draft(BOTH, f"New in the shop: no. {number + 1}") for number in range(BURST)]
            for each in self._producer.post_all(drafts):
                assert isinstance(each, Posted), each
        elif name == "delivered" and self._last_order is not None:
            self._producer.update(self._last_order, **DELIVERED)
        elif name == "withdraw" and self._posts:
            self._producer.withdraw(self._posts.popleft()[0])
        elif name not in {"delivered", "withdraw"}:
            post = POSTS[name]
            posted = self._producer.post(**post)
            self._posts.appendleft((posted.id, post["title"]))
            if name == "order":
                self._last_order = posted.id

    def ledger(self) -> list[dict[str, Any]]:
        """The last posts, each with what has become of it on each device."""
        return [{"title": title, "lines": self._lines(each)} for each, title in [*self._posts]]

    def _lines(self, notification: str) -> list[dict[str, Any]]:
        path = f"{self.node}/v1/notifications/{notification}/deliveries"
        answer = httpx.get(path, headers=bearer(PRODUCER), verify=False)
        lines: list[dict[str, Any]] = answer.json().get("deliveries", [])
        return lines


class Handler(http.server.BaseHTTPRequestHandler):
    """One request of a browser to the shop."""

    shop: Shop
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/token":
            # A real backend looks into the session; this one believes what the page says.
            user = query.get("user", ["ada"])[0]
            self._answer(200, token(user if user in BOTH else "ada").encode(), "text/plain")
        elif path == "/ledger":
            self._answer(200, json.dumps(self.shop.ledger()).encode(), "application/json")
        else:
            self._send_page({"/": "index.html", "/device": "device.html"}.get(path, path[1:]))

    def do_POST(self) -> None:
        # Only the page itself: no form of another site posts here.
        if self.headers.get("Origin") not in {None, self.shop.origin}:
            return self._answer(403, b"", "text/plain")
        self.shop.do(urlsplit(self.path).path.removeprefix("/do/"))
        return self._answer(204, b"", "text/plain")

    def _send_page(self, name: str) -> None:
        page = PAGES / name
        if page.parent != PAGES or page.suffix not in KINDS or not page.exists():
            return self._answer(404, b"", "text/plain")
        text = page.read_text().replace("{node}", self.shop.node)
        return self._answer(200, text.encode(), KINDS[page.suffix])

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The terminal is for the person: no line for each request."""
