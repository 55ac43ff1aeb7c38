"""The console and the inbox by keyboard alone: all of it is reached, seen, and left again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from servers.chromium import Browser, Page
from servers.node import wait_until
from servers.tokens import ADMIN, bearer, token
from tests.system.browser_kit import browser, ready_shop, server, shop, visitor
from tests.system.keyboard_kit import expect_all_reached, focus
from tests.system.server_kit import Server
from tests.system.shop_kit import Visitor

__all__ = ["browser", "ready_shop", "server", "shop", "visitor"]

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults


@pytest.fixture
def console(browser: Browser, server: Server) -> Iterator[Page]:
    """The console in a profile of its own, signed in by keyboard."""
    with browser.new_profile() as profile:
        page = profile.open()
        page.visit(f"{server.url}/console")
        page.wait_for("document.activeElement.name === 'key'")
        page.write(token("root", "admin notify"))
        page.press("Enter")
        page.wait_for("document.querySelectorAll('canvas').length > 0")
        yield page


def go(page: Page, path: str, shown: str) -> None:
    page.evaluate("document.querySelector('main').replaceChildren(); true")
    page.evaluate(f"location.hash = {json.dumps('#/' + path)}; true")
    shows(page, shown)


def shows(page: Page, text: str) -> None:
    page.wait_for(f"document.querySelector('main').innerText.includes({json.dumps(text)})")


def letters(server: Server, user: str, status: str = "dead") -> int:
    return len(listed(server, user, status))


def listed(server: Server, user: str, status: str) -> list[dict[str, Any]]:
    query = {"user": user, "status": status}
    answer = server.http.get("/v1/admin/dead-letters", params=query, headers=bearer(ADMIN))
    found: list[dict[str, Any]] = answer.json()["dead_letters"]
    return found


def settled(server: Server, user: str, event: str) -> int:
    """Letters of *user* that have ever been settled so: one that lives again may die again."""
    count = 0
    for each in listed(server, user, "all"):
        path = f"/v1/admin/dead-letters/{each['id']}"
        history = server.http.get(path, headers=bearer(ADMIN)).json()["history"]
        count += any(happened["event"] == event for happened in history)
    return count


@pytest.fixture
def dead(server: Server, ada: str) -> str:
    """A user with two dead letters."""
    for _ in range(2):
        server.producer().post(ada, title="Too late", ttl=0.05)
    wait_until(lambda: letters(server, ada) == 2, what="two dead letters")
    return ada


def test_all_of_each_page_of_the_console_is_reached_and_left(server, console, dead):
    notification = server.producer().post(dead)
    for path, shown in {
        f"users/{dead}": "Why does a device not have it?",
        f"notifications/{notification}": "Ledger",
        f"letters/{dead}": "Replay all shown",
        "actors": "storage",
        "keys": "Make a key",
        "send": "To the user",
        "": "All nodes",
    }.items():
        go(console, path, shown)
        expect_all_reached(console)


def test_a_page_that_is_chosen_has_the_focus_behind_the_menu(console):
    console.evaluate("document.querySelector('nav a[href=\"#/keys\"]').focus(); true")
    console.press("Enter")
    shows(console, "Make a key")
    console.press("Tab")
    assert console.evaluate("document.activeElement.closest('main') !== null")
    for _ in range(2):  # the page itself, and the last entry of the menu
        console.press("Tab", shift=True)
    assert console.evaluate("document.activeElement.closest('nav') !== null")


def test_a_question_holds_the_focus_and_escape_says_no(server, console, dead):
    go(console, f"letters/{dead}", "Replay all shown")
    console.evaluate("document.querySelector('td .danger').focus(); true")
    console.press("Enter")
    console.wait_for("document.querySelector('dialog').contains(document.activeElement)")
    for _ in range(4):
        console.press("Tab")
        inside = "document.activeElement.closest('main, nav') === null"
        assert console.evaluate(inside), "behind the question nothing is reached"
    console.press("Escape")
    console.wait_for("document.querySelector('dialog') === null")
    assert focus(console)["name"].endswith("Discard")
    assert letters(server, dead) == 2

    console.press("Enter")
    console.wait_for("document.querySelector('dialog').contains(document.activeElement)")
    console.press("Tab")
    console.press("Enter")
    wait_until(lambda: letters(server, dead) == 1)
    console.wait_for("document.querySelectorAll('tbody tr').length === 1")
    console.wait_for("document.activeElement === document.querySelector('main')")


@pytest.mark.parametrize("what", ["Replay", "Discard"])
def test_letters_are_settled_together_after_a_question_that_says_which(server, console, dead, what):
    go(console, f"letters/{dead}", "Replay all shown")
    press = f"""
        [...document.querySelectorAll(".heading button")]
          .find(({{ textContent }}) => textContent === "{what} all shown").click(); true
    """
    console.evaluate(press)
    question = console.evaluate("document.querySelector('dialog p').textContent")
    assert question.startswith(f"{what} 2 letters of 1 user (2 by expired)?")
    console.press("Escape")
    console.wait_for("document.querySelector('dialog') === null")
    assert letters(server, dead) == 2

    console.evaluate(press)
    console.evaluate("document.querySelector('dialog .yes').click(); true")
    event = {"Replay": "replayed", "Discard": "discarded"}[what]
    wait_until(lambda: settled(server, dead, event) == 2)


def test_the_console_keeps_the_focus_while_events_arrive(server, console, ada):
    with server.device(ada, "phone") as phone:
        phone.expect_synced()
        go(console, f"users/{ada}", "As it happens")
        console.wait_for("!document.querySelector('.live').innerText.includes('Waiting')")
        phone.ack(post(server, phone, ada, "first"))
        console.wait_for("document.querySelectorAll('.ticker a').length > 0")
        console.evaluate("globalThis.had = document.querySelector('.ticker a'); had.focus(); true")
        phone.ack(post(server, phone, ada, "second"))
        console.wait_for("document.querySelectorAll('.ticker .acknowledged').length === 2")
        assert console.evaluate("document.activeElement === had")


def post(server: Server, phone, user: str, title: str):
    server.producer().post(user, title=title)
    return phone.expect_push()


# --- The inbox ------------------------------------------------------------------------------------


def test_the_inbox_is_opened_walked_and_closed(server: Server, visitor: Visitor, ada: str):
    for number in range(3):
        server.producer().post(ada, title=f"no. {number}")
    page = visitor.page
    visitor.wait_for("root.querySelector('.badge').textContent === '3'")
    page.press("Tab")
    assert focus(page)["name"].startswith("button Notifications, 3 unread")
    page.press("Enter")
    visitor.wait_for("root.activeElement?.matches('.item')")
    expect_focus(page, "no. 2")
    page.press("ArrowDown")
    expect_focus(page, "no. 1")
    # The buttons of the row that has the focus are the next stops, and behind them the list ends.
    page.press("Tab")
    expect_focus(page, "Mark as read")
    page.press(" ")
    visitor.wait_for("root.activeElement?.title === 'Mark as unread'")
    visitor.wait_for("root.querySelector('.badge').textContent === '2'")
    page.press("Tab")
    expect_focus(page, "Archive")
    page.press("Tab")
    assert focus(page) is None, "behind the inbox the page goes on, and here it ends"
    page.press("Tab", shift=True)
    expect_focus(page, "Archive")
    page.press("Enter")
    visitor.wait_for("texts('.name').join() === 'no. 2,no. 0'")
    expect_focus(page, "no. 0")
    page.press("Delete")
    page.press("Delete")
    visitor.wait_for("all('.item').length === 0")
    # Nothing is left to have the focus: it is in the header, and not lost.
    expect_focus(page, "All")
    page.press("Escape")
    visitor.wait_for("root.activeElement?.matches('.bell')")
    assert not visitor.run("return root.querySelector('.panel').matches(':popover-open')")
    expect_focus(page, "Notifications")


def test_the_preferences_are_reached_used_and_left(server: Server, visitor: Visitor, ada: str):
    server.producer().post(ada, title="first", category="orders")
    page = visitor.page
    visitor.wait_for("root.querySelector('.badge').textContent === '1'")
    page.press("Tab")
    page.press("Enter")
    visitor.wait_for("root.activeElement?.matches('.item')")
    for name in ("Preferences", "Mark all as read", "Unread", "All"):
        page.press("Tab", shift=True)
        expect_focus(page, "What to hear of" if name == "Preferences" else name)
    for _ in range(3):
        page.press("Tab")
    page.press("Enter")
    visitor.wait_for("root.activeElement?.matches('[role=switch]')")
    expect_focus(page, "orders")
    page.press(" ")
    path = f"{server.url}/v1/me/preferences"
    wait_until(
        lambda: (
            httpx.get(path, headers=bearer(token(ada))).json()["categories"] == {"orders": False}
        )
    )
    # The list is back by its filter, and by the button itself.
    visitor.run("all('header button')[0].focus();")
    page.press("Enter")
    visitor.wait_for("all('.item').length === 1 && root.querySelector('.preferences').hidden")
    page.press("Escape")
    visitor.wait_for("!root.querySelector('.panel').matches(':popover-open')")


def expect_focus(page: Page, name: str) -> None:
    had = focus(page)
    assert had is not None, f"nothing has the focus that {name!r} should have"
    assert name in had["name"], had
    assert had["seen"], f"no one sees that {name!r} has the focus"
