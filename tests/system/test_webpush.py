"""Web Push to browsers: a real node, and a push service that checks what a real one checks."""

from __future__ import annotations

import pytest

from servers.node import wait_until
from servers.push_service import Browser, PushService
from servers.tokens import bearer, token
from tests.system.channel_kit import PUSH, as_user, push_service, sends, start_webpush, states
from tests.system.producer_kit import Producer, expect_problem
from tests.system.server_kit import Server, fresh_user

__all__ = ["push_service"]


@pytest.fixture
def node(start_server) -> Server:
    return start_webpush(start_server)


@pytest.fixture
def shop(node: Server) -> Producer:
    return node.producer()


def server_key(node: Server, user: str) -> str:
    [channel] = as_user(node, user, "GET", "/v1/channels").json()["channels"]
    assert (channel["name"], channel["kind"]) == ("webpush", "webpush")
    key: str = channel["key"]
    return key


def register(node: Server, user: str, browser: Browser, name: str = "firefox") -> None:
    path = f"/v1/me/channels/webpush/{name}"
    answer = as_user(node, user, "PUT", path, json=browser.subscription)
    assert answer.status_code == 204, answer.text


def test_a_browser_gets_the_notification_and_nobody_between_reads_it(
    node: Server, shop: Producer, push_service: PushService
):
    ada = fresh_user()
    browser = push_service.browser(server_key(node, ada))
    register(node, ada, browser)
    made = shop.post(ada, title="Pump 3 is dry", priority="high", ttl=600, escalate=PUSH)

    wait_until(lambda: browser.messages, what="the push")

    [message] = browser.messages
    assert (message["id"], message["title"], message["priority"]) == (made, "Pump 3 is dry", "high")
    [(_, status, headers)] = [each for each in push_service.requests if each[0] == browser.name]
    assert (status, headers["urgency"]) == (201, "high")
    assert 590 <= int(headers["ttl"]) <= 600
    wait_until(lambda: states(shop, made) == ["sent"])
    listed = as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"]
    assert [(each["name"], each["address"]) for each in listed] == [
        ("firefox", f"http://127.0.0.1:{push_service.port}")
    ]


def test_a_body_that_is_too_long_is_cut_at_a_character(
    node: Server, shop: Producer, push_service: PushService
):
    ada = fresh_user()
    browser = push_service.browser()
    register(node, ada, browser)
    shop.post(ada, body="ä" * 4096, url="https://example.org/" + "x" * 1000, escalate=PUSH)

    wait_until(lambda: browser.messages, what="the push")

    [message] = browser.messages
    assert message["body"].rstrip("…") == "ä" * (len(message["body"]) - 1)
    assert len(message["body"]) > 500


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_is_gone_is_forgotten(node, shop, push_service, status):
    ada = fresh_user()
    browser, other = push_service.browser(), push_service.browser()
    register(node, ada, browser)
    register(node, ada, other, "chrome")
    push_service.answers[browser.name] = [status]

    made = shop.post(ada, escalate=PUSH)

    wait_until(lambda: sorted(states(shop, made)) == ["dead", "sent"])
    listed = as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"]
    assert [each["name"] for each in listed] == ["chrome"]


def test_a_push_that_is_too_large_for_the_service_is_dead(node, shop, push_service):
    ada = fresh_user()
    browser = push_service.browser()
    register(node, ada, browser)
    push_service.answers[browser.name] = [413]

    made = shop.post(ada, escalate=PUSH)

    wait_until(lambda: states(shop, made) == ["dead"])
    assert [each["reason"] for each in sends(shop, made)] == ["413"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_push_that_may_be_taken_later_is_pushed_again(node, shop, push_service, status):
    ada = fresh_user()
    browser = push_service.browser()
    register(node, ada, browser)
    push_service.answers[browser.name] = [status]

    made = shop.post(ada, escalate=PUSH)

    wait_until(lambda: states(shop, made) == ["sent"], what="the second attempt")
    assert push_service.statuses(browser) == [status, 201]


def test_a_key_that_the_service_refuses_pauses_the_channel(node, shop, push_service):
    ada = fresh_user()
    browser = push_service.browser(server_key="another")
    register(node, ada, browser)

    made = shop.post(ada, escalate=PUSH)

    wait_until(lambda: push_service.statuses(browser) == [403])
    admin = bearer(token("root", "admin"))
    path = "/v1/admin/channels"
    wait_until(lambda: node.http.get(path, headers=admin).json()["channels"][0]["state"] != "ok")
    [channel] = node.http.get(path, headers=admin).json()["channels"]
    assert channel["state"] == "refused"
    assert [(each["state"], each["attempts"]) for each in sends(shop, made)] == [("waiting", 0)]


def test_a_browser_belongs_to_the_user_who_is_signed_in_there(node, shop, push_service):
    ada, bob = fresh_user("ada"), fresh_user("bob")
    browser = push_service.browser()
    register(node, ada, browser)
    register(node, bob, browser)

    assert as_user(node, ada, "GET", "/v1/me/channels").json()["addresses"] == []
    made = shop.post(ada, bob, escalate=PUSH)
    wait_until(lambda: [each["user"] for each in sends(shop, made)] == [bob])
    removed = as_user(node, bob, "DELETE", "/v1/me/channels/webpush/firefox")
    assert removed.status_code == 204
    again = as_user(node, bob, "DELETE", "/v1/me/channels/webpush/firefox")
    expect_problem(again, 404, "not_found")


def test_subscriptions_that_cannot_be_are_refused(node, shop, push_service):
    ada = fresh_user()
    good = push_service.browser().subscription
    keys = good["keys"]
    wrong = [
        {**good, "endpoint": "https://10.0.0.1/push"},
        {**good, "endpoint": "ftp://push.example/x"},
        {**good, "endpoint": "https://user:pass@push.example/x"},
        {**good, "keys": {**keys, "p256dh": "A" * 87}},
        {**good, "keys": {**keys, "p256dh": keys["p256dh"][:-4]}},
        {**good, "keys": {**keys, "auth": keys["auth"][:-2]}},
        {**good, "keys": {"auth": keys["auth"]}},
    ]

    for each in wrong:
        answer = as_user(node, ada, "PUT", "/v1/me/channels/webpush/x", json=each)
        expect_problem(answer, 422, "invalid")
    path = f"/v1/users/{ada}/channels/webpush/x"
    refused = shop.request("PUT", path, json={"address": "https://push.example"})
    expect_problem(refused, 403, "forbidden")
