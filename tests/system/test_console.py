"""The console in a real browser: an operator signs in, looks, and acts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from servers.chromium import Browser, Page
from servers.tokens import token
from tests.system import browser_kit
from tests.system.server_kit import Server
from tests.system.test_npm_packages import modules, violations

__all__ = ["modules"]

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


chromium = browser_kit.browser


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    """The console knows no store: one kind is enough."""
    shared: Server = sqlite_servers.get("server", {})
    return shared


@pytest.fixture
def browser(server: Server, chromium: Browser) -> Iterator[Page]:
    with chromium.new_profile() as profile:
        browser = profile.open()
        browser.visit(f"{server.url}/console")
        yield browser
        # Chromium logs each answer that is an error; all others are the page's own.
        assert [each for each in browser.complaints if "401 (Unauthorized)" not in each] == []


def sign_in(browser: Page, credential: str) -> None:
    browser.wait_for("!!document.querySelector('input[name=key]')")
    browser.evaluate(
        f"document.querySelector('input[name=key]').value = {json.dumps(credential)};"
        "document.querySelector('form').requestSubmit(); true"
    )


def go(browser: Page, page: str) -> None:
    browser.evaluate(f"location.hash = {json.dumps('#/' + page)}; true")


def shows(browser: Page, text: str) -> None:
    browser.wait_for(f"document.querySelector('main').innerText.includes({json.dumps(text)})")


@pytest.fixture
def credential() -> str:
    return token("root", "admin notify")


def test_a_wrong_key_is_refused_with_a_sentence_and_not_kept(browser):
    sign_in(browser, "tk_wrong")
    browser.wait_for("!!document.querySelector('.failure')")
    assert browser.evaluate("sessionStorage.length") == 0


def test_an_operator_sees_that_all_is_well(browser, credential):
    sign_in(browser, credential)
    shows(browser, "Nothing unusual.")
    assert browser.evaluate("document.querySelectorAll('canvas').length") == 9
    browser.wait_for("document.querySelector('figure strong').textContent !== '-'")
    assert browser.evaluate("Object.keys(localStorage).length") == 0
    # What a screen reader has said is not said again with each sample.
    browser.evaluate("globalThis.had = document.querySelector('.well'); true")
    asked = "performance.getEntriesByType('resource')"
    count = f"{asked}.filter(({{ name }}) => name.includes('samples')).length"
    browser.wait_for(f"{count} >= {browser.evaluate(count) + 3}")
    assert browser.evaluate("had.isConnected")


def test_a_notification_is_found_and_hostile_text_is_text(server, browser, credential, ada):
    with server.device(ada, "phone") as phone:
        phone.expect_synced()
        notification = server.producer().post(ada, title=HOSTILE)
        phone.ack(phone.expect_push())
        sign_in(browser, credential)
        go(browser, f"users/{ada}")
        shows(browser, "phone")
        go(browser, f"notifications/{notification}")
        shows(browser, HOSTILE)
        shows(browser, "acknowledged")
    assert browser.evaluate("document.title") == "Notifications - Tocsin"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("letters/somebody-else", "No dead letters"),
        ("actors", "/storage"),
        ("channels", "No channel is configured"),
        ("webhooks", "Where receipts go"),
        ("connectors", "No connector is configured"),
        ("spool", "There is no spool"),
        ("keys", "API keys are for programs"),
        ("send", "To the user"),
    ],
)
def test_every_page_comes_up(browser, credential, page, text):
    sign_in(browser, credential)
    shows(browser, "Overview")
    go(browser, page)
    shows(browser, text)
    assert browser.evaluate("!document.querySelector('.failure')")


def test_a_node_that_does_not_answer_is_told_and_the_page_goes_on(browser, credential):
    sign_in(browser, credential)
    shows(browser, "Nothing unusual.")
    lost = "globalThis.real = fetch; fetch = async () => { throw new TypeError('lost') }; true"
    browser.evaluate(lost)
    shows(browser, "The node does not answer.")
    go(browser, "keys")
    browser.wait_for("document.querySelector('h1')?.textContent === 'Keys'")
    shows(browser, "The node does not answer.")
    assert browser.evaluate("document.querySelectorAll('.failure').length") == 1
    browser.evaluate("fetch = real; true")
    shows(browser, "Make a key")
    assert browser.evaluate("!document.querySelector('.failure')")


def test_signing_out_forgets_the_key(browser, credential):
    sign_in(browser, credential)
    shows(browser, "Nothing unusual.")
    browser.evaluate("document.querySelector('nav button').click(); true")
    browser.wait_for("!!document.querySelector('input[name=key]')")
    assert browser.evaluate("sessionStorage.length") == 0


def test_a_key_is_made_shown_once_and_revoked(browser, credential):
    sign_in(browser, credential)
    shows(browser, "Nothing unusual.")
    go(browser, "keys")
    shows(browser, "Make a key")
    browser.evaluate(
        "document.querySelector('input[name=name]').value = 'of the console';"
        "document.querySelector('form').requestSubmit(); true"
    )
    shows(browser, "This is the only time")
    assert browser.evaluate("document.querySelector('.told code').textContent").startswith("tk_")
    rows = "[...document.querySelectorAll('tr')]"
    row = f"{rows}.find((row) => row.innerText.includes('of the console'))"
    browser.evaluate(f"{row}.querySelector('button').click(); true")
    browser.evaluate("document.querySelector('dialog .yes').click(); true")
    browser.wait_for(f"{row}.innerText.includes('revoked')")
    browser.evaluate("location.hash = '#/keys2'; location.hash = '#/keys'; true")
    browser.wait_for("!document.querySelector('.told code')")


PAGES = (
    *("", "users", "notifications", "letters", "spool", "webhooks", "channels", "connectors"),
    *("actors", "send", "keys"),
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_on_any_page(
    browser, server, phone, credential, modules, ada, dark, width
):
    notification = server.producer().post(ada)
    phone.ack(phone.expect_push())
    browser.look(width=width, height=900, dark=dark)
    axe = (modules / "axe-core" / "axe.min.js").read_text()
    browser.evaluate(f"{axe}; true")
    browser.wait_for("!!document.querySelector('input[name=key]')")
    assert violations(browser) == []
    sign_in(browser, credential)
    for page in *PAGES, f"users/{ada}", f"notifications/{notification}":
        browser.evaluate("document.querySelector('main').replaceChildren()")
        go(browser, page)
        path = page.split("/")[0]
        browser.wait_for(f"document.querySelector('[aria-current]')?.hash === '#/{path}'")
        browser.wait_for("!!document.querySelector('main h1')")
        assert violations(browser) == [], page
        wide = browser.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page} scrolls sideways"
