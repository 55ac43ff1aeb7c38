"""A web site that uses the inbox as its own developers would, and a browser that opens it.

The page carries out what a test asks of it, one line of JavaScript after the other, and tells what
came of each.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Self

from servers.node import PATIENCE

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<tocsin-inbox server="{server}" token-url="/token"></tocsin-inbox>
<script type="module">
import "{server}/inbox.js";
const inbox = document.querySelector("tocsin-inbox");
const root = inbox.shadowRoot;
const troubles = [];
addEventListener("unhandledrejection", ({{ reason }}) => troubles.push(String(reason)));
addEventListener("error", ({{ message }}) => troubles.push(message));
const all = (selector) => [...root.querySelectorAll(selector)];
const texts = (selector) => all(selector).map(({{ textContent }}) => textContent);
const until = async (holds) => {{
  for (let left = 600; left > 0; left -= 1) {{
    const answer = await holds();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }}
  throw new Error(`waited in vain for ${{holds}}`);
}};
const AsyncFunction = (async () => {{}}).constructor;
for (;;) {{
  const asked = await (await fetch("/asked")).json();
  if (asked === null) continue;
  let answer;
  try {{
    const work = new AsyncFunction("inbox", "root", "all", "texts", "until", "troubles", asked);
    answer = {{ value: await work(inbox, root, all, texts, until, troubles) ?? null }};
  }} catch (error) {{
    answer = {{ error: String(error) }};
  }}
  await fetch("/told", {{ method: "POST", body: JSON.stringify(answer) }});
}}
</script>
"""


class Shop:
    """The site, on loopback; *credential* is what its backend gives for the user's token."""

    def __init__(self) -> None:
        self.credential = ""
        self.page = ""
        self.asked: Queue[str] = Queue()
        self.told: Queue[dict[str, Any]] = Queue()
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/token":
                    self._answer(shop.credential, "text/plain")
                elif self.path == "/asked":
                    self._answer(json.dumps(shop.next_asked()), "application/json")
                else:
                    self._answer(shop.page, "text/html")

            def do_POST(self) -> None:
                shop.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer("", "text/plain")

            def _answer(self, text: str, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next_asked(self) -> str | None:
        try:
            return self.asked.get(timeout=1)
        except Empty:
            return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Visitor:
    """A person with a browser on the site's page."""

    def __init__(self, browser: str, shop: Shop, profile: Path) -> None:
        self._shop = shop
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [browser, *options, f"--user-data-dir={profile}", shop.origin],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The whole group: Debian's program is a script, which would end without the browser.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(PATIENCE)

    def run(self, script: str) -> Any:
        """The result of *script* in the page; it may use `all`, `texts` and `until`."""
        self._shop.asked.put(script)
        told = self._shop.told.get(timeout=PATIENCE)
        assert "error" not in told, told["error"]
        return told["value"]

    def wait_for(self, condition: str) -> None:
        self.run(f"await until(() => {condition});")
