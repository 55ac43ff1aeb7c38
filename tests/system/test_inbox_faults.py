"""What happens to a page: networks, proxies, tabs, clocks, tokens, and servers that go or lie.

`pushed` in the page has the titles that a handler was called with: each once, in their order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from servers.nginx import Nginx
from servers.node import wait_until
from servers.tokens import token
from tests.system.browser_kit import browser, ready_shop, server, shop, visitor
from tests.system.liar_kit import WELCOME, Liar, push
from tests.system.producer_kit import expect_json
from tests.system.shop_kit import CONNECTED, OWN_MODULES, Shop, Visitor, page_of
from tests.system.test_client_ways import WAYS

__all__ = ["browser", "ready_shop", "server", "shop", "visitor"]

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults

OFFLINE = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


def shows(visitor: Visitor, *titles: str, page=None) -> None:
    """Wait until the handler was told just these."""
    visitor.wait_for(f"pushed.join() === {json.dumps(','.join(titles))}", page)


def has_sent(visitor: Visitor, kind: str, times: int = 1) -> None:
    """Wait until the page has sent as many frames of the kind."""

    def frames() -> bool:
        visitor.run("")  # what the browser tells of frames comes with an answer
        kinds: list[str] = [each["type"] for each in visitor.page.frames_sent]
        return kinds.count(kind) >= times

    wait_until(frames, what=f"{times} {kind}")


def test_a_notification_while_the_page_is_offline_is_there_when_it_is_online(server, visitor, ada):
    producer = server.producer()
    producer.post(ada, title="before")
    shows(visitor, "before")
    visitor.page.tools.ask("Network.emulateNetworkConditions", offline=True, **OFFLINE)
    visitor.wait_for("!navigator.onLine")
    for title in "1", "2", "3":
        producer.post(ada, title=title)
    # A minute goes by for the page, and no timer of it has run meanwhile.
    visitor.run("const real = Date.now; Date.now = () => real() + 60_000;")
    visitor.page.tools.ask("Network.emulateNetworkConditions", offline=False, **OFFLINE)
    shows(visitor, "before", "1", "2", "3")
    producer.post(ada, title="after")
    shows(visitor, "before", "1", "2", "3", "after")


def test_a_clock_that_jumps_makes_the_page_ask_at_once(server, visitor, ada):
    visitor.run("const real = Date.now; Date.now = () => real() + 7_200_000;")
    has_sent(visitor, "ping")
    server.producer().post(ada, title="still there")
    shows(visitor, "still there")


def test_a_tab_goes_on_when_the_one_with_the_connection_is_closed(server, visitor, ada):
    producer = server.producer()
    other = visitor.open_tab()
    visitor.wait_for(CONNECTED, other)
    producer.post(ada, title="for both")
    shows(visitor, "for both")
    shows(visitor, "for both", page=other)
    visitor.page.close()
    visitor.page = other
    producer.post(ada, title="for the other")
    shows(visitor, "for both", "for the other")
    wait_until(lambda: server.metric("tocsin_sessions") == 1)


def test_a_page_that_was_left_and_is_restored_has_missed_nothing(server, visitor, ada):
    """The browser keeps the page as it is (its bfcache), since nothing in it forbids that."""
    producer = server.producer()
    producer.post(ada, title="before")
    shows(visitor, "before")
    visitor.run("globalThis.restored = 0; addEventListener('pageshow', () => (restored += 1));")
    visitor.page.visit(f"{server.url}/livez")
    wait_until(lambda: server.metric("tocsin_sessions") == 0)
    producer.post(ada, title="meanwhile")
    visitor.page.evaluate("history.back(); true")
    visitor.page.wait_for("globalThis.restored === 1")
    shows(visitor, "before", "meanwhile")
    visitor.wait_for(CONNECTED)


def test_a_token_is_renewed_in_the_open_connection(server, shop, browser, ready_shop, ada):
    shop.credential = token(ada, lifetime=10)
    with Visitor(browser, ready_shop) as visitor:
        visitor.wait_for(CONNECTED)
        visitor.run("globalThis.since = inbox.tocsin.state.since;")
        for times in 1, 2:
            shop.credential = token(ada, lifetime=10)
            has_sent(visitor, "refresh", times)
        shop.credential = token(ada)
        has_sent(visitor, "refresh", 3)
        server.producer().post(ada, title="with a third token")
        shows(visitor, "with a third token")
        assert visitor.run("return inbox.tocsin.state.since === since")


def test_by_a_clock_that_is_ahead_tokens_are_not_asked_for_in_a_circle(
    server, shop, browser, ready_shop, ada
):
    shop.credential = token(ada, lifetime=600)
    with Visitor(browser, ready_shop) as visitor:
        visitor.wait_for(CONNECTED)
        visitor.run("const real = Date.now; Date.now = () => real() + 7_200_000;")
        visitor.run("inbox.tocsin.close(); inbox.tocsin.connect();")
        visitor.wait_for(CONNECTED)
        given = shop.tokens_given
        visitor.run("const now = Date.now; Date.now = () => now() + 7_200_000;")
        has_sent(visitor, "ping")
        assert shop.tokens_given - given <= 2


def test_another_connection_of_the_device_stops_it_until_a_person_asks(server, visitor, ada):
    device = visitor.run("return inbox.tocsin.device")
    with server.device(ada, device):
        visitor.wait_for("inbox.tocsin.state.phase === 'stopped'")
        assert visitor.run("return inbox.tocsin.state.reason") == "replaced"
    visitor.run(
        "root.querySelector('.bell').click();"
        "await until(() => !root.querySelector('footer button').hidden);"
        "root.querySelector('footer button').click();"
    )
    visitor.wait_for(CONNECTED)
    server.producer().post(ada, title="again")
    shows(visitor, "again")


def test_a_node_that_drains_is_left_and_found_again(server, visitor, ada):
    server.producer().post(ada, title="before")
    shows(visitor, "before")
    visitor.run("globalThis.why = []; inbox.tocsin.on('state', ({ reason }) => why.push(reason));")
    server.stop()
    server.start()
    server.producer().post(ada, title="after")
    shows(visitor, "before", "after")
    assert "draining" in visitor.run("return why")


def test_a_store_that_was_lost_for_good_resets_the_page(server, visitor, ada):
    server.producer().post(ada, title="of the old log")
    shows(visitor, "of the old log")
    server.kill()
    shutil.rmtree(server.settings["data"])
    server.start()
    visitor.run("root.querySelector('.bell').click();")
    server.producer().post(ada, title="of the new log")
    shows(visitor, "of the old log", "of the new log")
    visitor.wait_for("texts('.name').join() === 'of the new log'")


@pytest.mark.parametrize("way", WAYS)
def test_a_browser_behind_a_proxy_finds_a_way(server, shop, browser, ready_shop, ada, way):
    producer = server.producer()
    with Nginx([f"127.0.0.1:{server.port}"], location=WAYS[way]) as proxy:
        shop.page = page_of(proxy.url)
        with Visitor(browser, shop) as visitor:
            visitor.wait_for(CONNECTED)
            assert visitor.run("return inbox.tocsin.state.transport") == way
            producer.post(ada, title="1")
            producer.post(ada, title="2")
            shows(visitor, "1", "2")


# --- other origins, and lies ----------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[Shop]:
    """A site of an origin that the server does not know, with the modules from elsewhere."""
    shop = Shop()
    yield shop
    shop.close()


def test_a_page_of_another_origin_is_given_neither_the_modules_nor_a_session(
    server, browser, stranger, ada
):
    stranger.credential = token(ada)
    server.producer().post(ada, title="not for strangers")
    profile = browser.new_profile()
    with profile:
        page = profile.open()
        stranger.page = page_of(server.url)
        page.visit(stranger.origin)
        wait_until(lambda: page.evaluate("1") and any("CORS" in each for each in page.complaints))
        assert page.evaluate("customElements.get('tocsin-inbox') === undefined")
        # With modules of its own it gets as far as the server, and no further.
        stranger.page = page_of(server.url, OWN_MODULES)
        page.visit(stranger.origin)
        page.wait_for("globalThis.inbox?.tocsin.state.phase === 'waiting'")
        assert page.evaluate("inbox.tocsin.inbox.current.loaded") is False
        assert page.evaluate("troubles.length + inbox.tocsin.inbox.current.unread") == 0
    assert server.metric("tocsin_sessions") == 0


HOSTILE = "<img src=x onerror='troubles.push(1)'>"
LIES: list[list[Any]] = [
    ["hi"], ["[]"], ["null"], ["{}"], ["\u0000"], [b"\x00\xff"], ['{"type": 7}'], ["[" * 50_000],
    [push(1)],
    [{**WELCOME, "cursor": 5}],
    [{**WELCOME, "user": None}],
    [{**WELCOME, "heartbeat": -1}, push(1)],
    [WELCOME, {"type": "push"}],
    [WELCOME, {**push(1), "notification": []}],
    [WELCOME, push(9)],
    [WELCOME, {"type": "goodbye", "code": 4409, "reason": 7, "reconnect": False}],
    [WELCOME, {"type": "goodbye", "code": 4000, "reason": "", "reconnect": True, "after": 0}],
    [WELCOME, {"type": "status", "store": [], "bus": {}}],
    [WELCOME, {"type": "counters", "unread": "many", "unseen": -1}],
    [WELCOME, {"type": "synced"}, {"type": "reset", "reason": {}}, {"type": "weather"}],
]  # fmt: skip
"""One connection each; whatever is in them, the page goes on as soon as it is told the truth."""
LAST = [
    {**WELCOME, "cursor": "e1.20"}, {"type": "synced", "sequence": 20},
    push(21, title=HOSTILE, body={"no": "text"}, url=5, created_at="yesterday", state=7),
    push(22, title=HOSTILE, body=HOSTILE, url="javascript:troubles.push(2)", category=None),
    push(23, title="last"),
]  # fmt: skip


@pytest.mark.parametrize("page", [{"notifications": 7}, [], {"notifications": [None]}], ids=str)
def test_a_server_that_lies_harms_no_page(server, shop, browser, ready_shop, page):
    with Liar([*LIES, LAST], page) as liar:
        shop.page = page_of(liar.url, OWN_MODULES)
        with Visitor(browser, shop) as visitor:
            while left := liar.left:
                visitor.run("inbox.tocsin.close(); inbox.tocsin.connect();")
                wait_until(partial(liar.has_told_more, left))
            visitor.wait_for("pushed.at(-1) === 'last'")
            assert visitor.run("return pushed.slice(-3)") == [HOSTILE, HOSTILE, "last"]
            visitor.run("root.querySelector('.bell').click();")
            visitor.wait_for("texts('.name').includes('last')")
            assert visitor.run("return root.querySelector('img')") is None
            assert visitor.run("return all('.item[data-url]').length") == 0
            assert visitor.run("return troubles") == []
            assert visitor.exceptions == []


# --- for long -------------------------------------------------------------------------------------

HEAP_GROWTH_MAX = 4 << 20
"""Bytes; ten thousand notifications would be some twenty MiB of objects and elements."""


def test_memory_stays_flat_over_ten_thousand_pushes(server, visitor, ada):
    producer = server.producer()
    visitor.run("root.querySelector('.bell').click();")
    visitor.run("inbox.tocsin.on('push', () => void pushed.shift());")
    tools = visitor.page.tools

    def heap_after(batches: int, last: str) -> int:
        for batch in range(batches):
            title = last if batch == batches - 1 else "one of many"
            drafts = [{"to": {"users": [ada]}, "title": title}] * 1000
            expect_json(producer.request("POST", "/v1/notifications/batch", json=drafts))
        visitor.wait_for(f"inbox.tocsin.inbox.current.notifications[0]?.title === '{last}'")
        tools.ask("HeapProfiler.collectGarbage")
        used: int = tools.ask("Runtime.getHeapUsage")["usedSize"]
        return used

    before = heap_after(1, "warm")
    assert heap_after(10, "last") - before < HEAP_GROWTH_MAX
    assert visitor.run("return inbox.tocsin.inbox.current.notifications.length") < 2000
