"""E-mail to people whom no device has reached: a real node and a real mail server."""

from __future__ import annotations

import functools
import re
import time

import pytest

from servers.mail import MailServer
from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.system.channel_kit import (
    as_user,
    environment,
    mail,
    sends,
    set_address,
    states,
)
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

__all__ = ["mail"]

AT_ONCE = [{"after": 0, "channel": "email"}]


@pytest.fixture
def node(start_server, mail: MailServer) -> Server:
    policies = {"alarm": {"steps": AT_ONCE, "categories": ["alarms"]}}
    node: Server = start_server(
        environment({"email": mail.table()}, policies, TOCSIN_PUBLIC_URL="https://tocsin.example")
    )
    return node


@pytest.fixture
def shop(node: Server) -> Producer:
    return node.producer()


def is_dead(shop: Producer, notification: str) -> bool:
    return states(shop, notification) == ["dead"]


def reach(shop: Producer, name: str = "ada") -> tuple[str, str]:
    """A user with a mail address of that name."""
    user = fresh_user(name)
    address = f"{user}@example.org"
    set_address(shop, user, address)
    return user, address


def test_a_person_without_a_device_gets_a_mail(shop: Producer, mail: MailServer):
    ada, address = reach(shop)
    made = shop.post(
        *(ada,), title="Pump 3 is\r\nBcc: x@example.org dry", body="<b>Look</b>\nnow & then",
        url="https://plant.example/pumps/3?a=1&b=2", category="alarms",
    )  # fmt: skip

    wait_until(lambda: mail.to(address), what="the mail")
    wait_until(lambda: states(shop, made) == ["sent"])

    [got] = mail.to(address)
    assert got["Subject"] == "Pump 3 is  Bcc: x@example.org dry"
    assert got["Bcc"] is None
    assert got["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(rf"<{made}\.1\.0\.[0-9a-f]{{24}}@example\.org>", got["Message-ID"])
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    plain, rich = got.get_body(("plain",)), got.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert "<b>Look</b>\r\nnow & then" in plain.get_content()
    assert "&lt;b&gt;Look&lt;/b&gt;<br>" in rich.get_content()
    assert 'href="https://plant.example/pumps/3?a=1&amp;b=2"' in rich.get_content()


def test_the_link_in_a_mail_ends_such_mails_by_one_click(
    node: Server, shop: Producer, mail: MailServer
):
    ada, address = reach(shop)
    shop.post(ada, category="alarms")
    wait_until(lambda: mail.to(address), what="the mail")
    link = mail.to(address)[0]["List-Unsubscribe"].strip("<>")
    path = link.removeprefix("https://tocsin.example")

    page = node.http.get(path)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "alarms" in page.text
    preferences = as_user(node, ada, "GET", "/v1/me/preferences").json()
    assert preferences["categories"] == {}
    clicked = node.http.post(path, data={"List-Unsubscribe": "One-Click"})
    assert clicked.status_code == 200
    expect_problem(node.http.post(path[:-2] + "AA", data={}), 404, "not_found")

    preferences = as_user(node, ada, "GET", "/v1/me/preferences").json()
    assert preferences["categories"] == {"alarms": {"email": False}}
    muted = shop.post(ada, category="alarms", priority="critical")
    wait_until(lambda: states(shop, muted) == ["off"])
    other = shop.post(ada, category="other", escalate=AT_ONCE)
    wait_until(lambda: states(shop, other) == ["sent"])


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("gone", "dead", "550 5.1.1 no such user"),
        ("policy", "dead", "550 5.7.1 not from you"),
        ("spam", "dead", "554 5.7.1 looks like spam"),
        ("full", "waiting", "452 4.2.2 mailbox full"),
        ("busy", "waiting", "451 4.3.0 later"),
        ("cut", "waiting", "no answer: SMTPServerDisconnected"),
    ],
)
def test_a_failure_is_dead_or_waits_as_the_server_says(shop: Producer, name, state, reason):
    user, _ = reach(shop, name)
    made = shop.post(user, escalate=AT_ONCE)

    wait_until(lambda: [each["reason"] for each in sends(shop, made)] == [reason])

    [send] = sends(shop, made)
    assert (send["state"], send["attempts"], send["sent_at"]) == (state, 1, None)
    assert (send["next_at"] is None) == (state == "dead")


def test_a_mail_that_may_be_taken_later_is_taken_later(shop: Producer, mail: MailServer):
    user, address = reach(shop, "once-busy")
    made = shop.post(user, escalate=AT_ONCE)

    wait_until(lambda: states(shop, made) == ["sent"], what="the second attempt")

    # The node has its answer before this process has read the mail from the server's pipe.
    wait_until(lambda: mail.to(address), what="the mail")
    assert len(mail.to(address)) == 1
    assert [each["attempts"] for each in sends(shop, made)] == [2]


def test_a_send_that_is_given_up_is_a_letter_and_is_replayed(node: Server, shop: Producer):
    user, _ = reach(shop, "spam")
    made = shop.post(user, escalate=AT_ONCE)
    wait_until(functools.partial(is_dead, shop, made))
    operator = node.producer(ADMIN)
    path = "/v1/admin/dead-letters"
    listed = expect_json(operator.request("GET", path, params={"kind": "send", "user": user}))
    [letter] = listed["dead_letters"]
    assert (letter["notification"], letter["channel"], letter["address"]) == (made, "email", "main")
    assert letter["reason"] == "554 5.7.1 looks like spam"
    assert shop.view(made)["counts"]["sent"] == 0

    set_address(shop, user, f"{fresh_user('well')}@example.org")
    replayed = operator.request("POST", f"{path}/{letter['id']}/replay")
    assert expect_json(replayed) == {"id": letter["id"], "status": "replayed"}
    wait_until(lambda: states(shop, made) == ["sent"])

    shown = expect_json(operator.request("GET", f"{path}/{letter['id']}"))
    assert [each["event"] for each in shown["history"]] == ["dead", "replayed", "sent"]
    assert shown["content"]["id"] == made
    assert [each["history"] for each in sends(shop, made)] == [shown["history"]]
    assert shop.view(made)["counts"]["sent"] == 1
    again = operator.request("POST", f"{path}/{letter['id']}/replay")
    expect_problem(again, 409, "conflict")
    assert operator.request("DELETE", f"{path}/{letter['id']}").status_code == 204


def test_an_address_that_fails_three_times_is_not_used_any_more(node: Server, shop: Producer):
    user, _ = reach(shop, "gone")
    for _ in range(3):
        made = shop.post(user, escalate=AT_ONCE)
        wait_until(functools.partial(is_dead, shop, made))
    addresses = expect_json(shop.request("GET", f"/v1/users/{user}/channels"))["addresses"]
    assert [each["dead_reason"] for each in addresses] == ["550 5.1.1 no such user"]
    assert [each["address"] for each in addresses] == [f"{user}@example.org"]

    last = shop.post(user, escalate=AT_ONCE)
    other, _ = reach(shop)
    after = shop.post(other, escalate=AT_ONCE)
    wait_until(lambda: states(shop, after) == ["sent"])
    assert states(shop, last) == []


def test_an_acknowledgment_a_moment_before_the_step_stops_it(
    node: Server, shop: Producer, mail: MailServer
):
    ada, address = reach(shop)
    bob, of_bob = reach(shop, "bob")
    with node.device(ada) as phone:
        phone.expect_synced()
        made = shop.post(ada, bob, escalate=[{"after": 2, "channel": "email"}])
        posted = time.monotonic()
        push = phone.expect_push()
        time.sleep(max(0.0, posted + 1.9 - time.monotonic()))  # waits for: 0.1 s before the step
        phone.ack(push)
        wait_until(lambda: mail.to(of_bob), what="the mail to the one who did not")

    assert [each["user"] for each in sends(shop, made)] == [bob]
    assert mail.to(address) == []


def test_a_notification_that_was_only_delivered_goes_on_where_it_has_to_be_read(
    node: Server, shop: Producer, mail: MailServer
):
    ada, address = reach(shop)
    with node.device(ada) as phone:
        phone.expect_synced()
        step = {"after": 1, "channel": "email", "unless": "read"}
        made = shop.post(ada, escalate=[step])
        phone.ack(phone.expect_push())
        wait_until(lambda: mail.to(address), what="the mail")
    assert [each["attempts"] for each in sends(shop, made)] == [1]


def test_mails_wait_while_the_mail_server_is_away(start_server, tmp_path):
    own = MailServer(tmp_path)
    node = start_server(environment({"email": own.table()}))
    shop = node.producer()
    ada, address = reach(shop)
    made = shop.post(ada, escalate=AT_ONCE)
    wait_until(lambda: [each["reason"] is not None for each in sends(shop, made)] == [True])
    [send] = sends(shop, made)
    assert (send["state"], send["attempts"]) == ("waiting", 0)
    channels = expect_json(node.http.get("/v1/admin/channels", headers=bearer(ADMIN)))["channels"]
    assert [(each["name"], each["state"]) for each in channels] == [("email", "away")]

    own.start()
    try:
        wait_until(lambda: own.to(address), what="the mail, once the server is there")
        wait_until(lambda: states(shop, made) == ["sent"])
    finally:
        own.stop()


def test_a_digest_gathers_what_is_unanswered_into_one_mail(shop: Producer, mail: MailServer, node):
    ada, address = reach(shop)
    gathering = [{"after": 0, "channel": "email", "digest": 2}]
    with node.device(ada) as phone:
        phone.expect_synced()
        made = [shop.post(ada, title=f"News {number}", escalate=gathering) for number in range(4)]
        pushes = [phone.expect_push() for _ in made]
        wait_until(lambda: states(shop, made[3]) == ["waiting"])
        phone.ack_ids(pushes[1])
        wait_until(lambda: mail.to(address), what="the digest")

    [got] = mail.to(address)
    assert got["Subject"].endswith("more)")
    body = got.get_body(("plain",))
    assert body is not None
    titles = re.findall(r"News \d", body.get_content())
    assert titles == ["News 0", "News 2", "News 3"]


def test_posts_that_cannot_escalate_are_refused(shop: Producer):
    problem = expect_problem(
        shop.try_post("ada", escalate=[{"after": 1, "channel": "pager"}]), 422, "unknown_channel"
    )
    assert problem["errors"][0]["path"] == "$.escalate[0].channel"
    expect_problem(shop.try_post("ada", escalate="siren"), 422, "unknown_channel")
    falling = [{"after": 9, "channel": "email"}, {"after": 1, "channel": "email"}]
    expect_problem(shop.try_post("ada", escalate=falling), 422, "invalid")
    path = "/v1/users/ada/channels/email/main"
    expect_problem(shop.request("PUT", path, json={"address": "no address"}), 422, "invalid")
    path = "/v1/users/ada/channels/pager/main"
    expect_problem(shop.request("PUT", path, json={"address": "x"}), 404, "not_found")


def test_a_policy_holds_for_its_category_unless_a_post_says_otherwise(
    shop: Producer, mail: MailServer
):
    ada, address = reach(shop)
    silent = shop.post(ada, category="alarms", escalate=False)
    named = shop.post(ada, category="other", escalate="alarm")
    wait_until(lambda: states(shop, named) == ["sent"])
    assert states(shop, silent) == []
    # The node has its answer before this process has read the mail from the server's pipe.
    wait_until(lambda: mail.to(address), what="the mail")
    assert len(mail.to(address)) == 1


def test_preferences_of_channels_are_told_as_they_were_set(node: Server):
    ada = fresh_user()
    wanted = {
        "categories": {"builds": False, "alarms": {"inbox": True, "email": False}},
        "topics": {},
        "channels": {"email": True},
        "quiet": {
            "from": "22:00",
            "to": "07:00",
            "timezone": "Europe/Berlin",
            "channels": ["email"],
        },
    }
    answer = as_user(node, ada, "PUT", "/v1/me/preferences", json=wanted)
    assert expect_json(answer) == wanted

    for wrong in (
        {"quiet": {"from": "22:00", "to": "22:00", "timezone": "Europe/Berlin"}},
        {"quiet": {"from": "22:00", "to": "07:00", "timezone": "Europe/Atlantis"}},
        {"quiet": {"from": "24:00", "to": "07:00", "timezone": "Europe/Berlin"}},
        {"channels": {"E mail": True}},
        {"categories": {"a": {"email": None}}},
    ):
        refused = as_user(node, ada, "PUT", "/v1/me/preferences", json=wrong)
        expect_problem(refused, 422, "invalid")
    assert as_user(node, ada, "GET", "/v1/me/preferences").json() == wanted
