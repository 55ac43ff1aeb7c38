"""Numbers of the faces in a real browser: what a person waits for, and what they see move.

Bounds are generous where machines differ; the figures themselves are printed, for the report.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest

from servers.chromium import Browser, Page
from servers.node import ROOT
from servers.tokens import token
from tests.system.browser_kit import browser, ready_shop, server, shop, visitor
from tests.system.server_kit import Server

__all__ = ["browser", "ready_shop", "server", "shop", "visitor"]

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults

FRAME = 1000 / 60
"""Milliseconds of a frame at 60 per second."""
CONSOLE_BYTES_MAX = 60_000
FIRST_INBOX_MAX = 150
"""Milliseconds from `connect()` to the first inbox, on a page that has the modules."""
NOTIFICATIONS = 10_000
ACTORS = 2_000

SCROLL = """
const scroll = async (list, step, frames) => {
  const [work, gaps] = [[], []];
  let before = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < frames; frame += 1) {
    const at = performance.now();
    list.scrollTop += step;
    list.dispatchEvent(new Event("scroll"));
    list.lastElementChild.getBoundingClientRect();
    work.push(performance.now() - at);
    const next = await new Promise(requestAnimationFrame);
    gaps.push(next - before);
    before = next;
  }
  return { work, gaps, scrolled: list.scrollTop };
};
"""
"""Scrolls, and tells for each frame what it cost to script and lay out, and when the next came."""


def expect_smooth(name: str, told: Any) -> None:
    """In half of the frames and more, the work leaves time for what the browser has to do."""
    work, gaps = sorted(told["work"]), sorted(told["gaps"])
    at_95 = work[len(work) * 95 // 100]
    print(f"{name}: work {median(work):.1f} ms, 95 % {at_95:.1f} ms; frame {median(gaps):.1f} ms")
    assert median(work) < FRAME


def test_ten_thousand_notifications_scroll_at_sixty_frames(visitor):
    visitor.run(f"""
        const notifications = Array.from({{ length: {NOTIFICATIONS} }}, (_, at) => ({{
          id: `n${{at}}`, title: `no. ${{at}} ${{"word ".repeat(at % 17)}}`, state: "unseen",
          body: at % 3 ? "A body of some words. ".repeat(at % 7) : null, url: null, data: null,
          category: "default", priority: "normal", created_at: new Date().toISOString(),
        }}));
        const counts = {{ unread: {NOTIFICATIONS}, unseen: 0, next: null, cursor: "e.1" }};
        inbox.tocsin.close();
        root.querySelector(".bell").click();
        inbox.tocsin.inbox.replace({{ notifications, ...counts }});
        await until(() => all(".item").length > 5);
    """)
    told = visitor.run(f"{SCROLL} return scroll(root.querySelector('.list'), 240, 150);")
    expect_smooth("inbox", told)
    assert told["scrolled"] > 30_000
    assert visitor.run("return all('.item').length") < 100, "only what is in view is there"
    # Keys reach rows that are not there yet, and a reader is told how many there are.
    end = "new KeyboardEvent('keydown', { key: 'End', bubbles: true })"
    visitor.run(f"all('.item')[9].focus(); root.activeElement.dispatchEvent({end});")
    visitor.wait_for(f"root.activeElement.textContent.includes('no. {NOTIFICATIONS - 1}')")
    place = (
        "return ['posinset', 'setsize'].map((of) => root.activeElement.getAttribute(`aria-${of}`))"
    )
    assert visitor.run(place) == [str(NOTIFICATIONS)] * 2


def test_the_first_inbox_is_there_at_once(server, visitor, ada):
    server.producer().post(ada, title="first")
    took = visitor.run(f"""
        const {{ Tocsin }} = await import("{server.url}/client.js");
        const credential = await (await fetch("/token")).text();
        const took = [];
        for (let round = 0; round < 7; round += 1) {{
          const began = performance.now();
          const tocsin = new Tocsin("{server.url}", {{ token: () => credential, storage: null }});
          const shown = new Promise((resolve) =>
            tocsin.inbox.subscribe(({{ loaded }}) => loaded && resolve()));
          tocsin.connect();
          await shown;
          took.push(performance.now() - began);
          tocsin.close();
        }}
        return took;
    """)
    print(f"first inbox: {min(took):.0f} ms, median {median(took):.0f} ms")
    assert min(took) < FIRST_INBOX_MAX


# --- the console ----------------------------------------------------------------------------------


def test_the_console_is_small():
    place = ROOT / "tocsin" / "browser"
    files = [each for each in (place / "console").iterdir() if each.suffix != ".py"]
    served = [*(each for each in files if each.is_file()), place / "inbox" / "dom.js"]
    size = sum(len(gzip.compress(each.read_bytes())) for each in served)
    print(f"console: {size} bytes with gzip")
    assert size < CONSOLE_BYTES_MAX


@pytest.fixture
def console(browser: Browser, server: Server) -> Iterator[Page]:
    with browser.new_profile() as profile:
        page = profile.open()
        page.visit(f"{server.url}/console")
        key = token("root", "admin notify")
        page.evaluate(f"sessionStorage.setItem('tocsin-console-key', '{key}'); true")
        page.visit(f"{server.url}/console")
        page.wait_for("document.querySelectorAll('nav a').length > 0")
        yield page


def test_two_thousand_actors_scroll_at_sixty_frames(console):
    console.evaluate(f"""
        const children = Array.from({{ length: {ACTORS} }}, (_, at) => ({{
          path: `/users/user-${{at}}`, mailbox: {{ waiting: at % 9, capacity: 64 }},
          restarts: at % 50 === 0 ? 1 : 0, last_error: null, child_count: 0, children: [],
        }}));
        const users = {{ path: "/users", mailbox: {{ waiting: 0, capacity: 64 }}, restarts: 0,
          last_error: null, child_count: {ACTORS}, children }};
        const real = globalThis.fetch;
        const tree = {{ node: "n", nodes: ["n"], actors: [users] }};
        globalThis.fetch = async (path, ...more) =>
          path.startsWith("/v1/admin/actors") ? Response.json(tree) : real(path, ...more);
        location.hash = "#/actors";
    """)
    console.wait_for("document.querySelectorAll('details li').length > 1000")
    console.evaluate("document.querySelector('details').open = true")
    script = f"{SCROLL} return scroll(document.scrollingElement, 240, 150);"
    told = console.evaluate(f"await (async () => {{ {script} }})()")
    expect_smooth("actors", told)
    assert told["scrolled"] > 20_000
