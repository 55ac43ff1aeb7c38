"""Producers post, change and withdraw, over HTTP and over the socket, and are answered."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import PRODUCER, bearer, token
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


def test_a_post_is_answered_with_what_became_of_it(producer: Producer, ada):
    answer = producer.try_post(ada, "bob", ada, title="Hello")

    body = expect_json(answer, 201)
    assert body.keys() == {"id", "state", "recipients", "created_at"}
    assert (body["state"], body["recipients"]) == ("active", 2)
    assert answer.headers["Location"] == f"/v1/notifications/{body['id']}"
    assert "Idempotency-Replayed" not in answer.headers


def test_the_producers_view_counts(server: Server, producer: Producer, ada):
    bob = fresh_user("bob")
    notification = producer.post(ada, bob, title="Hello", category="news", data=[1, {"a": None}])
    with server.device(ada) as phone:
        phone.ack(phone.expect_push("Hello"))
        wait_until(lambda: producer.view(notification)["counts"]["delivered"] == 1)

    view = producer.view(notification)

    assert (view["title"], view["category"], view["data"]) == ("Hello", "news", [1, {"a": None}])
    assert (view["state"], view["revision"]) == ("active", 1)
    assert view["counts"] == {
        "recipients": 2, "delivered": 1, "seen": 0, "read": 0, "expired": 0, "dead": 0, "sent": 0,
    }  # fmt: skip


def test_the_ledger_is_paged(server: Server, producer: Producer):
    users = sorted(fresh_user() for _ in range(5))
    notification = producer.post(*users)
    for user in users:
        with server.device(user) as phone:
            phone.ack(phone.expect_push())
    wait_until(lambda: producer.view(notification)["counts"]["delivered"] == 5)

    seen, after = [], None
    while True:
        params = {"limit": "2", **({"after": after} if after else {})}
        path = f"/v1/notifications/{notification}/deliveries"
        page = expect_json(producer.request("GET", path, params=params))
        assert len(page["deliveries"]) <= 2
        seen += [line["user"] for line in page["deliveries"]]
        after = page["next"]
        if after is None:
            break
    assert seen == users


# --- Changing and withdrawing ---------------------------------------------------------------------


def test_a_change_without_if_match_is_made(producer: Producer, ada):
    notification = producer.post(ada, title="one", body="text")

    changed = producer.update(notification, title="two", body=None, priority="high")

    assert (changed["title"], changed["body"], changed["revision"]) == ("two", None, 2)
    assert producer.view(notification)["priority"] == "high"


def test_a_change_with_if_match_is_made_once(producer: Producer, ada):
    notification = producer.post(ada, title="one")
    path = f"/v1/notifications/{notification}"

    first = producer.request("PATCH", path, json={"title": "two"}, headers={"If-Match": '"1"'})
    second = producer.request("PATCH", path, json={"title": "no"}, headers={"If-Match": '"1"'})

    assert expect_json(first)["revision"] == 2
    assert first.headers["ETag"] == '"2"'
    expect_problem(second, 412, "revision_mismatch")
    assert producer.view(notification)["title"] == "two"


def test_a_view_that_has_not_changed_is_not_sent_again(server, producer: Producer, ada):
    path = f"/v1/notifications/{producer.post(ada)}"

    def look(tag: str = '"none"') -> httpx.Response:
        return producer.request("GET", path, headers={"If-None-Match": tag})

    seen = look().headers["ETag"]
    assert seen.startswith('"1-')
    for tag in (seen, f"W/{seen}", f'"7", {seen}', "*"):
        again = look(tag)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", seen)
    assert look('"1"').status_code == 200

    with server.device(ada) as phone:
        phone.ack(phone.expect_push())
        # The deliveries are in the view, and so in its tag.
        wait_until(lambda: look(seen).status_code == 200)
        counted = look().headers["ETag"]
    assert counted.startswith('"1-')
    assert counted != seen


def test_the_tag_of_a_view_will_do_for_a_change(producer: Producer, ada):
    path = f"/v1/notifications/{producer.post(ada)}"
    tag = producer.request("GET", path).headers["ETag"]

    def change(tag: str) -> httpx.Response:
        return producer.request("PATCH", path, json={"title": "x"}, headers={"If-Match": tag})

    assert expect_json(change(f"W/{tag}"))["revision"] == 2
    expect_problem(change(tag), 412, "revision_mismatch")
    assert change(change('"2"').headers["ETag"]).status_code == 200


def test_of_concurrent_changes_with_if_match_one_is_made(producer: Producer, ada):
    path = f"/v1/notifications/{producer.post(ada)}"

    def change(number: int) -> int:
        headers = {"If-Match": '"1"'}
        return producer.request(
            "PATCH", path, json={"title": str(number)}, headers=headers
        ).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(change, range(16)))
    assert statuses == [200] + [412] * 15


def test_withdrawing_twice_is_no_error_and_ends_all_changes(producer: Producer, ada):
    notification = producer.post(ada)
    producer.withdraw(notification)
    producer.withdraw(notification)

    assert producer.view(notification)["state"] == "withdrawn"
    change = producer.request("PATCH", f"/v1/notifications/{notification}", json={"title": "x"})
    expect_problem(change, 409)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "notification",
    ["0197f0a8-0000-7000-8000-000000000000", "nonsense", "0197F0A8-0000-7000-8000-000000000000",
     "%00", "a%2Fb", "%F0%9F%92%A3", "0197f0a8-0000-7000-8000-000000000000%0a"],
)  # fmt: skip
def test_a_notification_that_does_not_exist_is_not_found(producer: Producer, method, notification):
    options = {"json": {"title": "x"}} if method == "PATCH" else {}
    answer = producer.request(method, f"/v1/notifications/{notification}", **options)
    expect_problem(answer, 404, "not_found")


# --- Idempotency ----------------------------------------------------------------------------------


def key() -> dict[str, str]:
    return {"Idempotency-Key": fresh_user("key")}


def test_the_same_request_again_gets_the_first_answer(producer: Producer, phone: Device, ada):
    headers = key()
    first = producer.try_post(ada, title="once", headers=headers)
    again = producer.try_post(ada, title="once", headers=headers)

    assert expect_json(again, 201) == expect_json(first, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Location"] == first.headers["Location"]
    phone.expect_push("once")
    phone.expect_nothing_before_pong()


def test_a_key_with_another_body_is_refused(producer: Producer, phone: Device, ada):
    headers = key()
    producer.try_post(ada, title="once", headers=headers)
    other = producer.try_post(ada, title="twice", headers=headers)

    expect_problem(other, 422, "idempotency_key_reused")
    phone.expect_push("once")
    phone.expect_nothing_before_pong()


def test_of_concurrent_requests_with_one_key_one_is_carried_out(
    producer: Producer, phone: Device, ada
):
    headers = key()

    def post(_: int) -> tuple[int, str | None]:
        answer = producer.try_post(ada, title="once", headers=headers)
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(post, range(24)))
    ids = {notification for status, notification in answers if status == 201}
    assert {status for status, _ in answers} <= {201, 409}
    assert len(ids) == 1
    phone.expect_push("once")
    phone.expect_nothing_before_pong()


def test_keys_belong_to_their_credential(server: Server, producer: Producer, ada):
    headers = key()
    other = server.producer(token(fresh_user("other"), "notify"))

    one = producer.try_post(ada, headers=headers)
    two = other.try_post(ada, title="something else", headers=headers)

    assert expect_json(one, 201)["id"] != expect_json(two, 201)["id"]


def test_a_key_outlives_a_restart(start_server, ada):
    server = start_server()
    headers = key()
    first = expect_json(server.producer().try_post(ada, headers=headers), 201)
    server.kill()
    server.start()

    again = server.producer().try_post(ada, headers=headers)

    assert expect_json(again, 201) == first
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("name", ["", "x" * 256, "sch\u00f6n", "a b"])
def test_a_key_that_cannot_be_one_is_refused(producer: Producer, ada, name):
    answer = producer.try_post(ada, headers={"Idempotency-Key": name.encode("latin-1")})
    expect_problem(answer, 422, "invalid")


# --- Over the socket ------------------------------------------------------------------------------


def test_a_device_with_the_scope_may_publish(server: Server, ada):
    credential = bearer(token(ada, "notify"))
    with server.connect(headers=credential) as phone:
        phone.hello("phone")
        phone.expect_welcome()
        phone.expect_synced()
        phone.send("publish", request="r-1", notification={"to": {"users": [ada]}, "title": "Me"})
        frames = [phone.receive(), phone.receive()]
        reply = next(frame for frame in frames if frame["type"] == "reply")
        push = next(frame for frame in frames if frame["type"] == "push")
        assert (reply["request"], reply["ok"]) == ("r-1", True)
        assert reply["result"]["id"] == push["notification"]["id"]
        assert reply["result"]["recipients"] == 1


def test_a_device_without_the_scope_may_not_publish(phone: Device, ada):
    reply = phone.publish(7, {"to": {"users": [ada]}, "title": "Me"})
    assert (reply["ok"], reply["problem"]["code"]) == (False, "forbidden")
    phone.expect_nothing_before_pong()


@pytest.mark.parametrize(
    "notification",
    [{}, {"title": "x"}, {"to": {"users": []}, "title": "x"}, {"to": {"users": ["a"]}, "titel": 1},
     [], None, 7, "text", {"to": {"users": ["a"]}, "title": ""}],
)  # fmt: skip
def test_a_bad_publish_is_replied_with_a_problem(server: Server, notification):
    with server.connect(headers=bearer(PRODUCER)) as socket:
        socket.hello(fresh_user("backend"))
        socket.expect_welcome()
        socket.expect_synced()
        reply = socket.publish("bad", notification)
        assert reply["ok"] is False
        assert (reply["problem"]["status"], reply["problem"]["code"]) == (422, "invalid")
        assert reply["problem"]["errors"]


def test_publishing_over_the_socket_is_idempotent_with_a_key(server: Server, ada):
    with server.connect(headers=bearer(token(fresh_user("backend"), "notify"))) as socket:
        socket.hello("one")
        socket.expect_welcome()
        socket.expect_synced()
        notification = {"to": {"users": [ada]}, "title": "once"}
        first = socket.publish(1, notification, idempotency_key="k")
        again = socket.publish(2, notification, idempotency_key="k")
        other = socket.publish(3, {**notification, "title": "no"}, idempotency_key="k")

        assert first["result"] == again["result"]
        assert other["problem"]["code"] == "idempotency_key_reused"


def test_a_hundred_publishes_at_once_are_all_answered(server: Server, ada):
    with server.connect(headers=bearer(token(fresh_user("backend"), "notify"))) as socket:
        socket.hello("one")
        socket.expect_welcome()
        socket.expect_synced()
        for number in range(100):
            notification = {"to": {"users": [ada]}, "title": str(number)}
            socket.send("publish", request=number, notification=notification)
        replies = [socket.expect("reply", ok=True) for _ in range(100)]
        assert sorted(reply["request"] for reply in replies) == list(range(100))

    with server.device(ada, "phone", cursor="0", window=100) as phone:
        titles = {phone.expect_push(replay=True)["notification"]["title"] for _ in range(100)}
        assert titles == set(map(str, range(100)))
        phone.expect_synced()


def create_key(server: Server, scope: str) -> str:
    where = [f"--{name}={server.settings[name]}" for name in ("data", "database")
             if name in server.settings]  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-m", "tocsin", "key", "create", "--scope", scope, *where],
        env=server.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.splitlines()[-1]


def test_an_api_key_publishes_and_has_no_inbox(server: Server, ada):
    api_key = create_key(server, "notify")
    producer = server.producer(api_key)

    producer.post(ada, title="by key")

    expect_problem(producer.request("GET", "/v1/inbox"), 403, "user_missing")
    expect_problem(producer.request("POST", "/v1/tickets"), 403, "user_missing")
    expect_problem(producer.request("GET", "/v1/admin/actors"), 403, "scope_missing")
    with server.connect(headers=bearer(api_key)) as socket:
        socket.hello(None)
        welcome = socket.expect("welcome")
        assert welcome["user"] is None
        reply = socket.publish("r", {"to": {"users": [ada]}, "title": "by key and socket"})
        assert reply["ok"] is True
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_pushes("by key", "by key and socket")


def test_an_api_key_is_checked_to_its_last_character(server: Server, ada):
    api_key = create_key(server, "notify")
    wrong = api_key[:-1] + ("a" if api_key[-1] != "a" else "b")

    expect_problem(server.producer(wrong).try_post(ada), 401)
    with server.connect(headers=bearer(wrong)) as socket:
        socket.hello(None)
        socket.expect_goodbye(4401)


def test_a_batch_of_json_is_not_a_post(producer: Producer, ada):
    body = json.dumps([{"to": {"users": [ada]}, "title": "x"}])
    expect_problem(producer.request("POST", "/v1/notifications", content=body), 422, "invalid")
