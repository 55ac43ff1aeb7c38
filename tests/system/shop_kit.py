"""A web site that uses the inbox as its own developers would, and persons who open it."""

from __future__ import annotations

import http.server
import threading
from typing import Any, Self

from servers.chromium import Browser, Page
from servers.node import ROOT

MODULES = ROOT / "tocsin" / "browser"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<tocsin-inbox server="{server}" token-url="/token"></tocsin-inbox>
<script type="module">
import "{modules}";
const inbox = document.querySelector("tocsin-inbox");
const root = inbox.shadowRoot;
const troubles = [];
addEventListener("unhandledrejection", ({{ reason }}) => troubles.push(String(reason)));
addEventListener("error", ({{ message }}) => troubles.push(message));
const all = (selector) => [...root.querySelectorAll(selector)];
const texts = (selector) => all(selector).map(({{ textContent }}) => textContent);
const until = async (holds) => {{
  for (let left = 1200; left > 0; left -= 1) {{
    const answer = await holds();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }}
  throw new Error(`waited in vain for ${{holds}}`);
}};
const pushed = [];
inbox.tocsin.on("push", ({{ notification }}) => pushed.push(notification.title));
Object.assign(globalThis, {{ inbox, root, troubles, all, texts, until, pushed }});
</script>
"""
OWN_MODULES = "/inbox/index.js"
"""Where the shop serves the inbox itself, as a bundle of the npm package would."""
CONNECTED = "globalThis.inbox?.tocsin?.state.phase === 'connected'"


def page_of(server: str, modules: str = "") -> str:
    """A page with the inbox of *server*; the modules are the server's unless others are named."""
    return PAGE.format(server=server, modules=modules or f"{server}/inbox.js")


class Shop:
    """The site, on loopback; *credential* is what its backend gives for the user's token."""

    def __init__(self) -> None:
        self.credential = ""
        self.page = ""
        self.tokens_given = 0
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/token":
                    shop.tokens_given += 1
                    self._answer(shop.credential, "text/plain")
                elif self.path.endswith(".js"):
                    self._answer((MODULES / self.path[1:]).read_text(), "text/javascript")
                else:
                    self._answer(shop.page, "text/html")

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

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Visitor:
    """A person with a browser on the site's page, and more tabs of it if *run* opens them."""

    def __init__(self, browser: Browser, shop: Shop) -> None:
        self._shop = shop
        self._profile = browser.new_profile()
        self.page = self.open_tab()

    def open_tab(self) -> Page:
        """One more tab on the site's page, which shares the person's storage."""
        page = self._profile.open()
        page.visit(self._shop.origin)
        page.wait_for("globalThis.inbox !== undefined")
        return page

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._profile.close()

    def run(self, script: str, page: Page | None = None) -> Any:
        """The result of *script* in the page; it may use `all`, `texts` and `until`."""
        return (page or self.page).evaluate(f"await (async () => {{ {script} }})()")

    def wait_for(self, condition: str, page: Page | None = None) -> None:
        self.run(f"await until(() => {condition});", page)

    @property
    def exceptions(self) -> list[str]:
        """What no code of the page has caught, in any of its tabs."""
        pages = self._profile.pages
        return [each for page in pages for each in page.complaints if "exceptionId" in each]
