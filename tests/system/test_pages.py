"""The pages in a real browser. Long because of the install."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from servers.chromium import Chromium
from servers.node import ROOT
from servers.tokens import ADMIN, token
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import run_server

pytestmark = pytest.mark.faults

WIDTHS = pytest.mark.parametrize("width", [1280, 390])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One store will do: what is looked at is the browser's half."""
    yield from run_server(Server(tmp_path_factory.mktemp("server")))


def open_docs(browser: Chromium, server: Server, credential: str = "") -> None:
    browser.visit(f"{server.url}/docs")
    browser.evaluate(
        f"token.value = {json.dumps(credential)}; token.dispatchEvent(new Event('input'))"
    )


def send(browser: Chromium, call: str, **values: str) -> dict[str, str]:
    """Fill in the form of *call* and send it; what it shows."""
    browser.evaluate(f"document.querySelector('#{call} .try').open = true")
    for name, value in values.items():
        field = "textarea" if name == "body" else f"[data-name={name}]"
        browser.evaluate(f"document.querySelector('#{call} {field}').value = {json.dumps(value)}")
    browser.evaluate(f"document.querySelector('#{call} form button').click()")
    browser.wait_for(f"!document.querySelector('#{call} form button').disabled")
    shown: dict[str, str] = browser.evaluate(
        f"""({{
            line: document.querySelector('#{call} .line').textContent,
            body: document.querySelector('#{call} .answer > .code pre, '
                + '#{call} .answer > pre').textContent,
            headers: document.querySelector('#{call} .answer details pre').textContent,
            hint: document.querySelector('#{call} .send .soft').textContent,
        }})"""
    )
    return shown


@WIDTHS
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_fits_its_screen_and_nothing_of_it_is_refused(server: Server, width, dark, path):
    with Chromium(width=width, dark=dark) as browser:
        browser.visit(server.url + path)
        browser.wait_for("document.documentElement.classList.contains('scripted')")
        browser.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        wide = """[...document.querySelectorAll('main *')].filter(each =>
            each.getBoundingClientRect().right > innerWidth && !each.closest('pre, textarea')
        ).map(each => each.outerHTML.slice(0, 100))"""
        assert browser.evaluate(wide) == []
        ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(18, 20, 24)" if dark else "rgb(251, 251, 252)")
        assert browser.complaints == []


def test_the_first_page_says_whether_it_works_and_that_it_does_not(start_server):
    server = start_server()
    with Chromium() as browser:
        browser.visit(server.url)
        browser.wait_for("document.querySelector('#status.ok h2')?.textContent === 'It works'")
        assert "store ok" in browser.evaluate("document.querySelector('.hops').textContent")
        server.stop()
        browser.wait_for(
            "document.querySelector('#status.silent h2')?.textContent === 'It does not answer'"
        )
        server.start()
        browser.wait_for("document.querySelector('#status.ok') !== null")


def test_examples_have_the_address_that_the_page_was_loaded_from(server: Server):
    with Chromium() as browser:
        browser.visit(f"http://localhost:{server.port}/docs")
        shown = browser.evaluate("document.querySelector('#list_inbox pre').textContent")
    assert shown.startswith(f"curl http://localhost:{server.port}/v1/inbox \\\n")


def test_forms_call_the_server_with_the_token_that_was_pasted(server: Server, producer, ada):
    producer.post(ada, title="Hello")
    with Chromium() as browser:
        open_docs(browser, server)
        refused = send(browser, "list_inbox")
        assert refused["line"].startswith("401 Unauthorized after")
        assert json.loads(refused["body"])["code"] == "token_missing"
        assert "Paste a token" in refused["hint"]

        open_docs(browser, server, token(ada))
        assert browser.evaluate("who.textContent") == ada
        assert "without scopes, good for 60 minutes" in browser.evaluate("told.textContent")
        inbox = send(browser, "list_inbox", limit="1", state="unread")
        assert inbox["line"].startswith("200 OK after")
        assert json.loads(inbox["body"])["notifications"][0]["title"] == "Hello"
        assert "etag: " in inbox["headers"]

        open_docs(browser, server, token("shop", "notify"))
        posted = send(browser, "publish", body=json.dumps({"to": {"users": [ada]}, "title": "Two"}))
        assert posted["line"].startswith("201")
        made = json.loads(posted["body"])["id"]
        shown = send(browser, "show_notification", notification=made)
        assert json.loads(shown["body"])["id"] == made

        open_docs(browser, server, ADMIN)
        gone = send(browser, "disconnect_user", user="a/b?c#d")
        assert (gone["line"].split(" after")[0], gone["body"]) == ("204 No Content", "(no body)")


def test_a_stream_is_shown_as_it_comes_until_it_is_stopped(server: Server, producer, ada):
    with Chromium() as browser:
        open_docs(browser, server, token(ada))
        browser.evaluate("document.querySelector('#stream_inbox form button').click()")
        said = "document.querySelector('#stream_inbox .answer').textContent"
        browser.wait_for(f"{said}.includes('event: synced')")
        producer.post(ada, title="While you look")
        browser.wait_for(f"{said}.includes('While you look')")
        browser.evaluate("document.querySelector('#stream_inbox .stop').click()")
        browser.wait_for(f"{said}.includes('and stopped')")
        assert browser.evaluate("document.querySelector('#stream_inbox .stop').hidden")


def test_search_shows_what_has_all_the_words(server: Server):
    visible = "[...document.querySelectorAll('.call:not([hidden])')].map(each => each.id)"
    with Chromium() as browser:
        browser.visit(f"{server.url}/docs")
        everything = browser.evaluate(visible)
        for text, expected in (
            ("ledger of", ["list_deliveries"]),
            ("collapse_key POST", ["publish"]),
        ):
            browser.evaluate(
                f"search.value = {json.dumps(text)}; search.dispatchEvent(new Event('input'))"
            )
            assert set(expected) <= set(browser.evaluate(visible)) < set(everything)
            links = browser.evaluate(
                "[...document.querySelectorAll('nav li:not([hidden]) a')].map(e => e.hash.slice(1))"
            )
            assert set(expected) <= set(links)
        browser.evaluate("search.value = 'no such words'; search.dispatchEvent(new Event('input'))")
        assert browser.evaluate("[nothing.hidden, document.querySelector('#errors').hidden]") == [
            False,
            True,
        ]
        # A link to what is hidden ends the search.
        browser.evaluate("location.hash = '#errors'")
        browser.wait_for("!document.querySelector('#errors').hidden")
        assert browser.evaluate(visible) == everything


def test_the_readmes_snippet_works_in_the_console_of_the_first_page(server: Server, producer, ada):
    section = (ROOT / "README.md").read_text().split("\n### A client of your own\n")[1]
    [snippet] = re.findall(r"^```js\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    snippet = snippet.replace("what ./dev token ada prints", token(ada))
    snippet = snippet.replace("http://127.0.0.1:8080", server.url)
    with Chromium() as browser:
        browser.visit(server.url)
        browser.evaluate("globalThis.said = []; console.log = (...words) => said.push(...words)")
        browser.evaluate(snippet)
        notification = producer.post(ada, title="To the console")
        browser.wait_for("said.includes('To the console')")
        assert producer.ledger(notification).keys() == {"browser"}
        server.http.post(f"/v1/admin/users/{ada}/disconnect", headers={
            "Authorization": f"Bearer {ADMIN}"
        })  # fmt: skip
        browser.wait_for("said.some(word => String(word).includes('4410'))")
