"""The console in a real browser: an operator signs in, looks, and acts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from servers.chromium import Chromium
from servers.tokens import token
from tests.system.server_kit import Server

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def browser(server: Server) -> Iterator[Chromium]:
    with Chromium() as browser:
        browser.visit(f"{server.url}/console")
        yield browser
        # Chromium logs each answer that is an error; all others are the page's own.
        assert [each for each in browser.complaints if "401 (Unauthorized)" not in each] == []


def sign_in(browser: Chromium, credential: str) -> None:
    browser.wait_for("!!document.querySelector('input[name=key]')")
    browser.evaluate(
        f"document.querySelector('input[name=key]').value = {json.dumps(credential)};"
        "document.querySelector('form').requestSubmit(); true"
    )


def go(browser: Chromium, page: str) -> None:
    browser.evaluate(f"location.hash = {json.dumps('#/' + page)}; true")


def shows(browser: Chromium, text: str) -> None:
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
        ("send", "To the user"),
    ],
)
def test_every_page_comes_up(browser, credential, page, text):
    sign_in(browser, credential)
    shows(browser, "Overview")
    go(browser, page)
    shows(browser, text)
    assert browser.evaluate("!document.querySelector('.failure')")


def test_signing_out_forgets_the_key(browser, credential):
    sign_in(browser, credential)
    shows(browser, "Nothing unusual.")
    browser.evaluate("document.querySelector('nav button').click(); true")
    browser.wait_for("!!document.querySelector('input[name=key]')")
    assert browser.evaluate("sessionStorage.length") == 0
