"""Two nodes, a Postgres and a Redis: as if it were one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.node import wait_until
from servers.redis import BusServer, Redis
from servers.tokens import ADMIN, bearer, token
from tests.system.device_kit import Device, Frame, settled
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user
from tests.system.test_producing import create_key

Pair = tuple[Server, Server]


def start_pair(
    make: Callable[..., Server], database: str, redis_url: str, **settings: object
) -> Pair:
    first, second = (
        make(database=database, redis=redis_url, node=name, **settings) for name in ("a", "b")
    )
    wait_until(lambda: hears(first, 1) and hears(second, 1), what="the nodes to hear each other")
    return first, second


def hears(server: Server, others: int) -> bool:
    return health(server)[1] == "ok" and server.metric("tocsin_bus_nodes") == others


def health(server: Server) -> tuple[str, str]:
    """The answers of readiness: in all, and for the bus."""
    answer = expect_json(server.http.get("/readyz"))
    return answer["status"], answer["hops"]["bus"]


@pytest.fixture(scope="module")
def pair(postgres, redis_server: BusServer, tmp_path_factory) -> Iterator[Pair]:
    servers: list[Server] = []

    def make(**settings: object) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("node"), settings))
        return servers[-1].start()

    try:
        yield start_pair(make, postgres.create_database(), redis_server.create_database())
    finally:
        for each in servers:
            each.close()
    for each in servers:
        each.expect_no_bugs()


@pytest.fixture
def ada() -> str:
    return fresh_user()


def live(server: Server, user: str, name: str = "phone") -> Device:
    device = server.device(user, name)
    device.expect_synced()
    return device


# --- As if it were one --------------------------------------------------------------------------


def test_a_post_to_any_node_reaches_the_devices_on_all_in_order(pair: Pair, ada):
    devices = [live(each, ada, name) for each, name in zip(pair, ("phone", "web"), strict=True)]
    with settled(*devices):
        titles = [str(number) for number in range(20)]
        for number, title in enumerate(titles):
            pair[number % 2].producer().post(ada, title=title)
        for device in devices:
            pushes = device.expect_pushes(*titles)
            assert [push["sequence"] for push in pushes] == list(range(1, 21))
            assert all(push["attempt"] == 1 and not push["replay"] for push in pushes)


def test_a_push_that_a_pong_has_answered_for_does_not_come_again_elsewhere(pair: Pair, ada):
    """A device whose connection is cut is on the other node within milliseconds."""
    phone = live(pair[0], ada)
    for round_ in range(12):
        for title in ("first", "second"):
            pair[0].producer().post(ada, title=title)
            phone.ack(phone.expect_push(title))
            phone.expect_nothing_before_pong()
        phone.vanish()
        phone = live(pair[(round_ + 1) % 2], ada)
    phone.close()


def test_updates_withdrawals_and_marks_are_seen_everywhere(pair: Pair, ada):
    a, b = pair
    with live(b, ada) as phone:
        notification = a.producer().post(ada, title="first")
        phone.ack(phone.expect_push("first", change="created", unread=1, unseen=1))
        a.producer().update(notification, title="second")
        phone.expect_push("second", change="updated")
        Person(a, ada).mark("read", ids=[notification])
        read = phone.expect_push("second", change="state", unread=0, unseen=0)
        assert read["notification"]["state"] == "read"
        a.producer().withdraw(notification)
        phone.expect_push("second", change="withdrawn")


def test_a_topic_reaches_those_who_are_in_it_wherever_they_are(pair: Pair, ada):
    a, b = pair
    topic = fresh_user("topic")
    with live(b, ada) as phone:
        joined = a.producer().request("PUT", f"/v1/topics/{topic}/subscribers/{ada}")
        assert joined.status_code == 204
        for title in ("at once", "later"):
            draft = {"to": {"topic": topic}, "title": title}
            expect_json(a.producer().request("POST", "/v1/notifications", json=draft), 201)
            phone.ack(phone.expect_push(title))


def test_a_broadcast_reaches_everybody(pair: Pair, ada):
    a, b = pair
    with live(a, ada) as here, live(b, fresh_user("bob")) as there:
        title = fresh_user("to all")
        draft = {"to": {"all": True}, "title": title}
        published = expect_json(a.producer().request("POST", "/v1/notifications", json=draft), 201)
        here.expect_push(title)
        there.expect_push(title)
        a.producer().withdraw(published["id"])


def test_a_delivery_of_one_node_is_in_the_ledger_of_another(pair: Pair, ada):
    a, b = pair
    with live(b, ada) as phone:
        notification = a.producer().post(ada)
        phone.ack(phone.expect_push())
        line = wait_until(
            lambda: (a.producer().ledger(notification).get("phone") or {}).get("acknowledged_at")
        )
        assert line


def test_a_long_poll_waits_on_one_node_for_what_comes_to_another(pair: Pair, ada):
    a, b = pair
    poll: dict[str, str | int] = {"wait": 30, "cursor": "0"}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            b.http.get, "/v1/inbox/changes", params=poll, headers=bearer(token(ada)), timeout=40
        )
        wait_until(lambda: b.metric("tocsin_sessions") >= 1)
        a.producer().post(ada, title="at last")
        changes = expect_json(asked.result(20))["changes"]
    assert [each["notification"]["title"] for each in changes] == ["at last"]


# --- One device, one connection -----------------------------------------------------------------


def test_a_device_that_arrives_at_another_node_is_replaced_and_goes_on_there(pair: Pair, ada):
    a, b = pair
    with live(a, ada) as old:
        a.producer().post(ada, title="first")
        push = old.expect_push("first")
        with b.device(ada, cursor=push_cursor(old, push)) as new:
            old.expect_goodbye(4409)
            new.expect_synced()
            a.producer().post(ada, title="second")
            new.expect_push("second", previous=push["sequence"])


def push_cursor(device: Device, push: dict[str, object]) -> str:
    return f"{device.welcome['epoch']}.{push['sequence']}"


def test_an_operator_disconnects_a_user_everywhere(pair: Pair, ada):
    devices = [live(each, ada, name) for each, name in zip(pair, ("phone", "web"), strict=True)]
    with settled(*devices):
        path = f"/v1/admin/users/{ada}/disconnect"
        assert pair[0].http.post(path, headers=bearer(ADMIN)).status_code == 204
        for device in devices:
            device.expect_goodbye(4410)


def test_a_device_that_is_forgotten_on_one_node_is_disconnected_on_the_other(pair: Pair, ada):
    a, b = pair
    with live(b, ada) as phone:
        gone = a.http.delete("/v1/me/devices/phone", headers=bearer(token(ada)))
        assert gone.status_code == 204
        phone.expect_goodbye(4410)


# --- Leaving ------------------------------------------------------------------------------------


def test_a_node_that_stops_says_what_it_has_committed_and_is_not_missed(
    postgres, redis_url, start_server, ada
):
    a, b = start_pair(start_server, postgres.create_database(), redis_url, drain_time=2)
    with live(b, ada) as phone:
        a.producer().post(ada, title="the last")
        assert a.stop() == 0
        phone.expect_push("the last")
        looks = b.metric("tocsin_bus_reconciliations_total")
        time.sleep(5)  # waits for: the time in which a node that is missed is noticed, and more
        assert b.metric("tocsin_bus_reconciliations_total") - looks <= 1
        assert hears(b, 0)


# --- Without Redis ------------------------------------------------------------------------------


def test_without_redis_all_is_said_so_and_a_second_late_and_then_well_again(
    postgres, own_redis: Redis, start_server, ada
):
    a, b = start_pair(start_server, postgres.create_database(), own_redis.create_database())
    with live(b, ada) as phone:
        own_redis.stop()
        phone.expect("status", bus="lost", store="ok", patience=5)
        wait_until(lambda: health(a) == health(b) == ("degraded", "lost"), patience=5)
        assert b.metric("tocsin_bus_available") == 0
        for title in ("one", "two", "three"):
            posted = time.monotonic()
            a.producer().post(ada, title=title)
            phone.ack(phone.expect_push(title))
            assert time.monotonic() - posted < 3
        with b.device(fresh_user(), "late") as late:
            late.expect("status", bus="lost", store="ok")
            late.expect_synced()

        own_redis.start()
        phone.expect("status", bus="ok", store="ok", patience=10)
        wait_until(lambda: hears(a, 1) and hears(b, 1), patience=5)
        found = b.metric("tocsin_bus_found_total")
        a.producer().post(ada, title="four")
        phone.expect_push("four")
        assert b.metric("tocsin_bus_found_total") == found


def test_a_redis_that_hangs_is_noticed_within_seconds(
    postgres, own_redis: Redis, start_server, ada
):
    a, b = start_pair(start_server, postgres.create_database(), own_redis.create_database())
    with live(b, ada) as phone:
        own_redis.pause()
        phone.expect("status", bus="lost", patience=5)
        a.producer().post(ada, title="meanwhile")
        phone.expect_push("meanwhile", patience=4)
        own_redis.resume()
        phone.expect("status", bus="ok", patience=10)
        # The other node finds out for itself, and spools posts until then.
        wait_until(lambda: hears(a, 1), what="the first node to hear again")
        a.producer().post(ada, title="afterwards")
        phone.expect_push("afterwards")


def test_a_node_starts_and_serves_without_redis(postgres, own_redis: Redis, start_server, ada):
    url = own_redis.create_database()
    own_redis.stop()
    a = start_server(database=postgres.create_database(), redis=url, node="a")
    assert health(a) == ("degraded", "lost")
    with a.device(ada) as phone:
        phone.expect("status", bus="lost")
        phone.expect_synced()
        a.producer().post(ada, title="all the same")
        phone.expect_push("all the same")
        own_redis.start()
        phone.expect("status", bus="ok", patience=10)


# --- A node that stands still ---------------------------------------------------------------------


def test_a_node_that_stood_still_does_not_repeat_what_was_withdrawn(
    postgres, redis_url, start_server, ada
):
    a, b = start_pair(start_server, postgres.create_database(), redis_url, resend_delay=3)
    with live(b, ada) as phone:
        notifications = [a.producer().post(ada, title=title) for title in ("kept", "withdrawn")]
        phone.ack_ids(phone.expect_pushes("kept", "withdrawn")[0])
        b.signal(signal.SIGSTOP)
        try:
            a.producer().withdraw(notifications[1])
            later = a.producer().post(ada, title="later")
            time.sleep(5)  # waits for: the resend to be due, and the node to be deaf by then
        finally:
            b.signal(signal.SIGCONT)
        pushes: list[Frame] = []
        while not pushes or pushes[-1]["notification"]["id"] != later:
            frame = phone.receive()
            if frame["type"] == "push":
                pushes.append(frame)
        seen = [(push["sequence"], push["change"]) for push in pushes]
        assert seen == [(3, "withdrawn"), (4, "created")]
        wait_until(lambda: hears(b, 1))


def test_a_device_that_left_a_node_that_stood_still_is_not_there_any_more(
    postgres, redis_url, start_server, ada
):
    a, b = start_pair(start_server, postgres.create_database(), redis_url)
    with live(b, ada) as old:
        a.producer().post(ada, title="there")
        push = old.expect_push("there")
        old.ack(push)
        old.expect_nothing_before_pong()
        b.signal(signal.SIGSTOP)
        time.sleep(0.2)  # waits for: two arrivals that can be told apart by their times
        try:
            with a.device(ada, cursor=push_cursor(old, push)) as new:
                new.expect_synced()
                time.sleep(4)  # waits for: the other node to be deaf when it goes on
                b.signal(signal.SIGCONT)
                old.expect_goodbye(4409)
                a.producer().post(ada, title="here")
                new.expect_push("here")
        finally:
            b.signal(signal.SIGCONT)


# --- Revoked keys -------------------------------------------------------------------------------


def test_a_revoked_key_is_felt_on_connections_that_are_open(pair: Pair):
    a, b = pair
    kept, revoked = create_key(a, "notify"), create_key(a, "notify")
    with b.connect(headers=bearer(kept)) as one, b.connect(headers=bearer(revoked)) as other:
        for shop in (one, other):
            shop.hello(None)
            shop.expect_welcome()
        revoke(a, revoked)
        other.expect_goodbye(4401, patience=8)
        one.expect_nothing_before_pong()


def revoke(server: Server, key: str) -> None:
    where = [f"--{name}={server.settings[name]}" for name in ("data", "database")]
    command = [sys.executable, "-m", "tocsin", "key", "revoke", key, *where]
    subprocess.run(command, env=server.environment, check=True, capture_output=True)
