"""`<tocsin-inbox>` in a real browser, on a page of another origin than the node's."""

from __future__ import annotations

import json

import httpx
import pytest

from servers.node import PATIENCE, wait_until
from servers.tokens import bearer, token
from tests.system.browser_kit import browser, ready_shop, server, shop, visitor

__all__ = ["browser", "ready_shop", "server", "shop", "visitor"]

# Long for the browser, which may have to be installed.
pytestmark = pytest.mark.faults


OPEN = "root.querySelector('.bell').click(); await until(() => all('.item').length > 0);"


def test_the_bell_counts_and_the_list_is_the_inbox(server, visitor, ada):
    producer = server.producer()
    producer.post(ada, title="first", body="of all")
    producer.post(ada, title="second")
    visitor.wait_for("root.querySelector('.badge').textContent === '2'")
    assert visitor.run(f"{OPEN} return texts('.name');") == ["second", "first"]
    assert visitor.run("return root.querySelector('.bell').getAttribute('aria-label')") == (
        "Notifications, 2 unread"
    )


def test_a_notification_that_arrives_while_it_is_open_is_shown_and_said(server, visitor, ada):
    server.producer().post(ada, title="first")
    visitor.run(OPEN)
    server.producer().post(ada, title="second")
    visitor.wait_for("texts('.name')[0] === 'second'")
    assert visitor.run("return texts('.aloud')") == ["New notification: second"]


def test_marks_go_to_the_server_and_come_from_other_devices(server, visitor, ada):
    producer = server.producer()
    first, second = producer.post(ada, title="first"), producer.post(ada, title="second")
    visitor.run(f"{OPEN} all('.item')[0].querySelector('.actions button').click();")
    wait_until(lambda: state(server, ada, second) == "read")
    visitor.wait_for("root.querySelector('.badge').textContent === '1'")
    mark = {"state": "archived", "ids": [first]}
    httpx.post(
        f"{server.url}/v1/inbox/mark", json=mark, headers=bearer(token(ada)), timeout=PATIENCE
    )
    visitor.wait_for("texts('.name').join() === 'second'")
    assert visitor.run("return root.querySelector('.badge').hidden") is True


def state(server, user: str, notification: str) -> str:
    answer = httpx.get(
        f"{server.url}/v1/inbox/{notification}", headers=bearer(token(user)), timeout=PATIENCE
    )
    found: str = answer.json()["state"]
    return found


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://shop.example/1", "https://shop.example/1"),
        ("javascript:alert(1)", None),
        ("data:text/html,<script>alert(1)</script>", None),
        (" jAvAsCrIpT:alert(1)", None),
    ],
)
def test_hostile_text_is_text_and_hostile_addresses_lead_nowhere(
    server, visitor, ada, url, leads_to
):
    hostile = "<img src=x onerror='troubles.push(1)'>"
    server.producer().post(ada, title=hostile, body=hostile, url=url.strip())
    visitor.run(OPEN)
    assert visitor.run("return texts('.name, .body')") == [hostile, hostile]
    assert visitor.run("return root.querySelector('img')") is None
    assert visitor.run("return all('.item')[0].dataset.url ?? null") == leads_to


def test_the_keyboard_goes_through_the_list_and_archives(server, visitor, ada):
    for number in range(3):
        server.producer().post(ada, title=f"no. {number}")
    visitor.run(OPEN)
    press = (
        "root.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: %s, bubbles: true}));"
    )
    focused = "return root.activeElement.querySelector('.name').textContent"
    visitor.run("all('.item')[0].focus();")
    for key, name in ("ArrowDown", "no. 1"), ("End", "no. 0"), ("Home", "no. 2"):
        assert visitor.run(press % json.dumps(key) + focused) == name
    visitor.run(press % json.dumps("Delete"))
    visitor.wait_for("texts('.name').join() === 'no. 1,no. 0'")
    assert visitor.run(focused) == "no. 1"


def test_a_server_that_goes_is_told_and_nothing_is_missed(server, visitor, ada):
    server.producer().post(ada, title="before")
    visitor.run(OPEN)
    server.kill()
    visitor.wait_for("root.querySelector('footer').textContent.startsWith('Offline')")
    server.start()
    server.producer().post(ada, title="after")
    visitor.wait_for("texts('.name').join() === 'after,before'")
    visitor.wait_for("root.querySelector('footer').hidden")


def test_a_token_that_is_refused_stops_it_and_another_one_starts_it(server, shop, visitor, ada):
    shop.credential = "nonsense"
    server.kill()
    server.start()
    visitor.wait_for("inbox.tocsin.state.phase === 'stopped'")
    assert visitor.run("return inbox.tocsin.state.reason") == "unauthenticated"
    shop.credential = token(ada)
    visitor.run("root.querySelector('footer button').click();")
    visitor.wait_for("inbox.tocsin.state.phase === 'connected'")


def test_two_tabs_share_a_connection(server, shop, visitor, ada):
    visitor.run("window.other = document.body.appendChild(document.createElement('iframe'));")
    visitor.run(
        "other.srcdoc = `<tocsin-inbox></tocsin-inbox>`;"
        "await new Promise((resolve) => (other.onload = resolve));"
        "const { Tocsin } = await import(new URL('/client.js', inbox.getAttribute('server')));"
        "window.second = new Tocsin(inbox.getAttribute('server'), {"
        "  token: async () => (await fetch('/token')).text() }).connect();"
        "await until(() => second.state.phase === 'connected');"
    )
    server.producer().post(ada, title="for both")
    visitor.wait_for("second.inbox.current.notifications[0]?.title === 'for both'")
    wait_until(lambda: server.metric("tocsin_sessions") == 1)


def test_the_inbox_of_the_last_visit_is_there_at_once(server, visitor, ada):
    """From IndexedDB, before any server has answered; the best of some, on a machine that works."""
    server.producer().post(ada, title="kept")
    took = visitor.run(
        f"""
        const {{ Tocsin }} = await import("{server.url}/client.js");
        const options = {{ user: "{ada}", device: "second" }};
        const token = () => fetch("/token").then((answer) => answer.text());
        const first = new Tocsin("{server.url}", {{ ...options, token }}).connect();
        await until(() => first.inbox.current.loaded);
        await new Promise((resolve) => setTimeout(resolve, 600));
        first.close();
        const took = [];
        for (let round = 0; round < 5; round += 1) {{
          const began = performance.now();
          const never = () => new Promise(() => {{}});
          const again = new Tocsin("{server.url}", {{ ...options, token: never }});
          const shown = new Promise((resolve) => again.inbox.subscribe(resolve));
          again.connect();
          const {{ notifications, loaded }} = await shown;
          took.push(performance.now() - began);
          again.close();
          if (loaded || notifications[0].title !== "kept") throw new Error("not the snapshot");
        }}
        return took;
        """
    )
    assert min(took) < 30


def test_a_mark_made_while_the_server_is_away_is_sent_when_it_is_back(server, visitor, ada):
    notification = server.producer().post(ada, title="first")
    visitor.run(OPEN)
    server.kill()
    visitor.wait_for("inbox.tocsin.state.phase === 'waiting'")
    visitor.run("all('.item .actions button')[0].click();")
    visitor.wait_for("root.querySelector('.badge').hidden")
    server.start()

    def is_read():
        answer = httpx.get(
            f"{server.url}/v1/inbox/{notification}", headers=bearer(token(ada)), timeout=PATIENCE
        )
        return answer.json()["state"] == "read"

    wait_until(is_read)


def test_a_category_is_switched_off_and_on(server, visitor, ada):
    """The other preferences go back as they came."""
    mine = bearer(token(ada))
    address = f"{server.url}/v1/me/preferences"
    httpx.put(
        address,
        json={"topics": {"cats": False}, "categories": {"old": False}},
        headers=mine,
        timeout=PATIENCE,
    )
    server.producer().post(ada, title="first", category="news")
    visitor.run(OPEN + "root.querySelector('.gear').click();")
    visitor.wait_for("texts('.preferences label').join() === 'news,old'")
    assert visitor.run("return all('.preferences input').map(({ checked }) => checked)") == [
        *(True, False)
    ]
    visitor.run("all('.preferences input').forEach((each) => each.click());")

    def are_switched():
        preferences = httpx.get(address, headers=mine, timeout=PATIENCE).json()
        return preferences["categories"] == {"news": False, "old": True} and preferences["topics"]

    assert wait_until(are_switched) == {"cats": False}
    visitor.run("root.querySelector('.gear').click();")
    visitor.wait_for("all('.preferences')[0].hidden && all('.item').length === 1")


def test_a_switch_that_the_server_does_not_take_goes_back(server, visitor, ada):
    server.producer().post(ada, title="first", category="news")
    visitor.run(OPEN + "root.querySelector('.gear').click();")
    visitor.wait_for("texts('.preferences label').join() === 'news'")
    server.kill()
    visitor.run("all('.preferences input')[0].click();")
    visitor.wait_for("all('.preferences input')[0].checked")
    server.start()
