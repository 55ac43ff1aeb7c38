"""Web Push in the inbox: a real browser, worker and node; the push service is one of ours, and what
it is given is delivered to the worker by the developer tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servers.chromium import Browser, Page, Tools
from servers.node import wait_until
from servers.push_service import PushService
from servers.tokens import token
from tests.system import browser_kit
from tests.system.channel_kit import PUSH, as_user, push_service, start_webpush
from tests.system.server_kit import Server
from tests.system.shop_kit import CONNECTED, Shop, Visitor, page_of

__all__ = ["push_service"]

pytestmark = pytest.mark.faults
chromium = browser_kit.browser

WORKER = "/inbox/worker.js"
BUTTON = "root.querySelector('.push')"
SUBSCRIBES = """
let current = null;
globalThis.asked = null;
PushManager.prototype.getSubscription = async () => current;
PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
  globalThis.asked = { userVisibleOnly, applicationServerKey };
  const unsubscribe = async () => ((current = null), true);
  return (current = { toJSON: () => (%s), unsubscribe });
};
"""
"""A headless browser has no push service: what that would answer is the test's."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture
def node(start_server, shop: Shop) -> Server:
    return start_webpush(start_server, origins=shop.origin)


@pytest.fixture
def visitor(node: Server, shop: Shop, chromium: Browser, ada: str) -> Iterator[Visitor]:
    page = page_of(node.url)
    shop.page = page.replace("token-url", f'push-worker="{WORKER}" token-url')
    shop.credential = token(ada)
    with Visitor(chromium, shop) as visitor:
        visitor.wait_for(CONNECTED)
        yield visitor
        assert visitor.run("return troubles") == []


def permit(visitor: Visitor, shop: Shop, setting: str) -> None:
    profile = visitor._profile
    profile._tools.ask(
        "Browser.setPermission",
        permission={"name": "notifications"},
        setting=setting,
        origin=shop.origin,
        browserContextId=profile._name,
    )


def open_preferences(visitor: Visitor) -> None:
    visitor.run(
        "root.querySelector('.bell').click();"
        "await until(() => root.querySelector('.panel').matches(':popover-open'));"
        "root.querySelector('.gear').click();"
        "await until(() => !root.querySelector('.preferences').hidden)"
    )


def registrations(page: Page) -> list[dict[str, Any]]:
    """The registrations of service workers, as the developer tools tell them."""
    found: list[dict[str, Any]] = []
    before: Callable[[str, Any], None] = page.tools.told

    def note(event: str, said: Any) -> None:
        before(event, said)
        if event == "ServiceWorker.workerRegistrationUpdated":
            found.extend(said["registrations"])

    page.tools.told = note
    page.tools.ask("ServiceWorker.enable")
    page.wait_for("true")
    return found


def in_worker(visitor: Visitor, script: str) -> Any:
    """The value of *script* in the service worker."""
    profile = visitor._profile
    targets = profile._tools.ask("Target.getTargets")["targetInfos"]
    [worker] = [
        each
        for each in targets
        if each["type"] == "service_worker" and each["browserContextId"] == profile._name
    ]
    tools = Tools(f"{profile._address}/devtools/page/{worker['targetId']}")
    try:
        answer = tools.ask(
            "Runtime.evaluate",
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")
    finally:
        tools.close()


def test_a_person_subscribes_is_shown_a_push_and_clicks_it(
    visitor: Visitor, node: Server, shop: Shop, push_service: PushService, ada: str
):
    [channel] = as_user(node, ada, "GET", "/v1/channels").json()["channels"]
    browser = push_service.browser(channel["key"])
    permit(visitor, shop, "granted")
    visitor.run(SUBSCRIBES % json.dumps(browser.subscription))
    open_preferences(visitor)
    visitor.run(f"{BUTTON}.click(); await until(() => {BUTTON}.ariaPressed === 'true')")
    asked = visitor.run("return asked")
    assert asked == {"userVisibleOnly": True, "applicationServerKey": channel["key"]}
    [address] = as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"]
    assert address["name"] == visitor.run("return inbox.tocsin.device")

    # Whom a device reaches is not pushed to besides: as if the page had been closed.
    visitor.run("inbox.tocsin.close()")
    url = f"{shop.origin}/orders/7"
    made = node.producer().post(ada, title="Pump 3 is dry", body="Now", url=url, escalate=PUSH)
    wait_until(lambda: browser.messages, what="the push")
    [registration] = registrations(visitor.page)[:1]
    assert registration["scopeURL"] == f"{shop.origin}/inbox/"
    visitor.page.tools.ask(
        "ServiceWorker.deliverPushMessage",
        origin=shop.origin,
        registrationId=registration["registrationId"],
        data=json.dumps(browser.messages[0]),
    )
    shown = visitor.run(
        f"const registration = await navigator.serviceWorker.getRegistration('{WORKER}');"
        "const [one] = await until(async () => {"
        "  const shown = await registration.getNotifications();"
        "  return shown.length > 0 && shown;"
        "});"
        "return { title: one.title, body: one.body, tag: one.tag, data: one.data }"
    )
    assert shown == {"title": "Pump 3 is dry", "body": "Now", "tag": made, "data": url}
    # A click of the developer tools is none of a person's, and may open no window.
    opened = in_worker(
        visitor,
        "const opened = [];"
        "Clients.prototype.openWindow = async (url) => void opened.push(url);"
        "const [notification] = await registration.getNotifications();"
        "dispatchEvent(new NotificationEvent('notificationclick', { notification }));"
        "for (let left = 200; left > 0 && opened.length === 0; left -= 1)"
        "  await new Promise((go) => setTimeout(go, 50));"
        "return [opened, (await registration.getNotifications()).length]",
    )
    assert opened == [[url], 0]

    visitor.run(f"{BUTTON}.click(); await until(() => {BUTTON}.ariaPressed === 'false')")
    assert as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"] == []


def test_an_address_elsewhere_than_in_the_web_leads_to_the_front_page(
    visitor: Visitor, shop: Shop, push_service: PushService
):
    permit(visitor, shop, "granted")
    visitor.run(f"await navigator.serviceWorker.register('{WORKER}')")
    active = f"(await navigator.serviceWorker.getRegistration('{WORKER}'))?.active"
    visitor.run(f"await until(async () => {active})")
    told = in_worker(
        visitor,
        "const shown = [];"
        "ServiceWorkerRegistration.prototype.showNotification ="
        " async (title, { data }) => void shown.push([title, data]);"
        "for (const said of [{ title: 'a', url: 'javascript:alert(1)' },"
        " { title: 'b', url: 'https://x.example/y' }, { title: 7 }, 'garbage'])"
        "  dispatchEvent(new PushEvent('push',"
        "   { data: said === 'garbage' ? said : JSON.stringify(said) }));"
        "for (let left = 200; left > 0 && shown.length < 4; left -= 1)"
        "  await new Promise((go) => setTimeout(go, 50));"
        "return shown",
    )
    front = f"{shop.origin}/"
    assert sorted(told) == [
        ["New notification", front],
        ["New notification", front],
        ["a", front],
        ["b", "https://x.example/y"],
    ]


def test_a_browser_that_was_told_not_to_says_so(visitor: Visitor, shop: Shop):
    permit(visitor, shop, "denied")
    open_preferences(visitor)
    visitor.wait_for("texts('.webpush .hint').join('').includes('does not allow')")
    assert visitor.run(f"return {BUTTON}.hidden")


def test_a_node_that_refuses_the_subscription_leaves_it_off(
    visitor: Visitor, node: Server, shop: Shop, ada: str
):
    permit(visitor, shop, "granted")
    visitor.run(SUBSCRIBES % json.dumps({"endpoint": "https://x.invalid/", "keys": {}}))
    open_preferences(visitor)
    visitor.run(f"{BUTTON}.click()")
    visitor.wait_for("texts('footer').join('').includes('did not work')")
    visitor.wait_for(f"{BUTTON}.ariaPressed === 'false' && !{BUTTON}.disabled")
    assert as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"] == []


def test_channels_and_quiet_hours_are_chosen(visitor: Visitor, node: Server, ada: str):
    node.producer().post(ada, category="builds")
    visitor.wait_for("inbox.tocsin.inbox.current.notifications.length === 1")
    open_preferences(visitor)
    switch = "root.querySelector('[aria-label=\"{}\"]')".format
    off = switch("builds: webpush")
    visitor.run(f"{off}.click()")
    visitor.run("root.querySelector('.quiet [role=switch]').click()")
    visitor.run(
        f"const from = {switch('Quiet from')}; await until(() => !from.disabled);"
        "from.value = '23:30'; from.dispatchEvent(new Event('change'))"
    )

    def kept() -> Any:
        return as_user(node, ada, "GET", "/v1/me/preferences").json()

    wait_until(lambda: kept().get("quiet", {}).get("from") == "23:30")
    assert kept()["categories"] == {"builds": {"webpush": False}}
    assert kept()["quiet"]["to"] == "07:00"
    visitor.run(f"{switch('builds: Inbox')}.click()")
    assert visitor.run(f"return {off}.disabled")
    wait_until(lambda: kept()["categories"]["builds"] == {"inbox": False, "webpush": False})
