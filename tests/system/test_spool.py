"""Postgres away: posts are taken all the same, and arrive in order, once, when it is back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import httpx
import pytest

from servers.node import ROOT, wait_until
from servers.postgres import Postgres
from servers.proxy import Proxy
from servers.redis import Redis, execute
from servers.tokens import ADMIN, PRODUCER, bearer
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user
from tests.system.test_batch import results

POSTING_PAUSE = 0.02
"""Seconds between two posts of `Posting`: other tests want the core as well."""


@pytest.fixture
def database(own_postgres: Postgres) -> str:
    return own_postgres.create_database()


def lose(postgres: Postgres, *servers: Server) -> None:
    postgres.stop()
    for server in servers:
        wait_until(partial(is_lost, server), what="the store's loss")


def is_lost(server: Server) -> bool:
    return hops(server)["store"] == "lost"


def stores(server: Server) -> bool:
    return server.producer().try_post(fresh_user()).status_code == 201


def hops(server: Server) -> dict[str, str]:
    found: dict[str, str] = server.http.get("/readyz").json()["hops"]
    return found


def expect_spooled(answer: httpx.Response) -> dict[str, Any]:
    body = expect_json(answer, 202)
    assert body["durability"] == "spooled"
    return body


def titles(server: Server, user: str, count: int) -> list[str]:
    """The titles that a new device of *user* is brought, from the start."""
    found: list[str] = []
    with server.device(user, fresh_user("device"), cursor="0", window=1024) as device:
        while len(found) < count:
            frame = device.receive()
            if frame["type"] != "status":  # of hops that were lost a moment ago
                assert frame["type"] == "push", frame
                found.append(frame["notification"]["title"])
    return found


def expect_drained(*servers: Server) -> None:
    """Posts go to the store again, on all of them."""
    for server in servers:
        wait_until(partial(stores, server), patience=30, what="posts to be stored")


def test_posts_changes_and_withdrawals_are_taken_while_postgres_is_away(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    server = start_server(database=database, redis=redis_url)
    producer = server.producer()
    stored = producer.post(ada, title="stored")
    with server.device(ada) as phone:
        phone.ack(phone.expect_push("stored"))
        phone.expect_synced()
        lose(own_postgres, server)
        phone.expect("status", store="lost")
        assert server.http.get("/readyz").json()["status"] == "degraded"

        first = producer.try_post(ada, title="first")
        body = expect_spooled(first)
        assert first.headers["Location"] == f"/v1/notifications/{body['id']}"
        assert (body["state"], body["recipients"]) == ("active", 1)
        second = expect_spooled(producer.try_post(ada, title="second"))["id"]
        third = expect_spooled(producer.try_post(ada, title="third"))["id"]
        path = "/v1/notifications/"
        change = {"json": {"title": "second, corrected"}}
        assert expect_spooled(producer.request("PATCH", path + second, **change))["id"] == second
        assert expect_spooled(producer.request("DELETE", path + third))["id"] == third
        expect_spooled(producer.request("DELETE", path + stored))
        exact = {"headers": {"If-Match": '"1"'}, **change}
        expect_problem(producer.request("PATCH", path + second, **exact), 503, "store_unavailable")
        empty = producer.request("PATCH", path + second, json={})
        expect_problem(empty, 422, "invalid")
        expect_problem(producer.try_post(ada, title=""), 422, "invalid")
        topic = {"to": {"topic": "news"}, "title": "x"}
        answer = expect_spooled(producer.request("POST", "/v1/notifications", json=topic))
        assert answer["recipients"] is None
        time.sleep(3)  # waits for: an outage that lasts

        own_postgres.start()
        phone.expect("status", store="ok")
        seen: list[str] = []
        while "second, corrected" not in seen:
            frame = phone.receive()
            if frame["type"] == "push":
                seen.append(frame["notification"]["title"])
                phone.ack(frame)
        assert seen.index("first") < seen.index("second, corrected")
    expect_drained(server)
    assert titles(server, ada, 2) == ["first", "second, corrected"]
    assert producer.view(third)["state"] == producer.view(stored)["state"] == "withdrawn"
    assert server.metric("tocsin_spool_spooled_total") >= 7
    assert server.metric("tocsin_spool_entries") == 0


def test_keys_mean_the_same_before_during_and_after_an_outage(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    server = start_server(database=database, redis=redis_url)
    producer = server.producer()
    before, during = {"Idempotency-Key": fresh_user("k")}, {"Idempotency-Key": fresh_user("k")}
    producer.try_post(ada, title="before", headers=before)
    lose(own_postgres, server)
    expect_spooled(producer.try_post(ada, title="before", headers=before))
    first = producer.try_post(ada, title="during", headers=during)
    again = producer.try_post(ada, title="during", headers=during)
    assert expect_spooled(first) == expect_spooled(again)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = producer.try_post(ada, title="other", headers=during)
    expect_problem(other, 422, "idempotency_key_reused")
    own_postgres.start()
    expect_drained(server)
    after = producer.try_post(ada, title="during", headers=during)
    assert after.headers["Idempotency-Replayed"] == "true"
    assert expect_json(after, 201)["id"] == first.json()["id"]
    producer.post(ada, title="last")
    assert titles(server, ada, 3) == ["before", "during", "last"]


def test_batches_and_sockets_spool_as_well(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    server = start_server(database=database, redis=redis_url)
    producer = server.producer()
    with server.connect() as socket:
        socket.hello("desk", token=PRODUCER)
        socket.expect_welcome()
        socket.expect_synced()
        lose(own_postgres, server)
        socket.expect("status", store="lost")
        draft = {"to": {"users": [ada]}}
        items = [{**draft, "title": str(number)} for number in range(300)]
        answers = results(producer, [*items, {**draft, "title": ""}])
        assert [each["status"] for each in answers] == [202] * 300 + [422]
        reply = socket.publish(1, {**draft, "title": "300"})
        assert reply["ok"]
        assert reply["result"]["durability"] == "spooled"
        own_postgres.start()
        expect_drained(server)
    assert titles(server, ada, 301) == [str(number) for number in range(301)]


def test_a_post_that_cannot_be_stored_is_put_aside_for_the_operator(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    server = start_server(database=database, redis=redis_url)
    producer, key = server.producer(), {"Idempotency-Key": fresh_user("k")}
    producer.try_post(ada, title="first", headers=key)
    lose(own_postgres, server)
    id_ = expect_spooled(producer.try_post(ada, title="other", headers=key))["id"]
    own_postgres.start()
    expect_drained(server)
    state = expect_json(server.http.get("/v1/admin/spool", headers=bearer(ADMIN)))
    assert (state["available"], state["entries"]) == (True, 0)
    [aside] = state["poisoned"]
    assert aside["reason"] == "idempotency_key_reused"
    assert id_ in aside["payload"]
    assert titles(server, ada, 1) == ["first"]

    operator, path = Producer(server.http, ADMIN), "/v1/admin/spool/"
    replayed = operator.request("POST", f"{path}{aside['entry']}/replay")
    assert expect_json(replayed) == {"entry": aside["entry"], "status": "replayed"}
    again = wait_until(lambda: operator.request("GET", path[:-1]).json()["poisoned"])
    assert [each["payload"] for each in again] == [aside["payload"]], "it is refused again"
    assert again[0]["entry"] != aside["entry"]
    gone = operator.request("POST", f"{path}{aside['entry']}/replay")
    expect_problem(gone, 404, "not_found")
    assert operator.request("DELETE", path + again[0]["entry"]).status_code == 204
    expect_problem(operator.request("DELETE", path + again[0]["entry"]), 404, "not_found")
    assert operator.request("GET", path[:-1]).json()["poisoned"] == []


def test_both_away_is_an_honest_no(
    start_server, own_postgres: Postgres, own_redis: Redis, database: str, ada: str
):
    server = start_server(database=database, redis=own_redis.url, redis_timeout=0.5)
    producer = server.producer()
    lose(own_postgres, server)
    expect_spooled(producer.try_post(ada, title="first"))
    own_redis.stop()
    answer = producer.try_post(ada, title="nobody")
    expect_problem(answer, 503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    wait_until(lambda: server.http.get("/readyz").status_code == 503, what="not being ready")
    own_postgres.start()
    wait_until(lambda: hops(server)["store"] == "ok", what="the store")
    producer.post(ada, title="second")
    own_redis.start()
    wait_until(lambda: server.metric("tocsin_spool_drained_total") == 1, what="the spool")
    wait_until(lambda: hops(server)["bus"] == "ok", what="the bus")
    assert titles(server, ada, 2) == ["second", "first"]


class Posting(threading.Thread):
    """Posts numbers to *user*, each until it is accepted, one after the other, until stopped."""

    def __init__(self, server: Server, user: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{server.url}/v1/notifications"
        self._user = user
        self._ended = threading.Event()
        self.accepted: list[str] = []
        self.statuses: list[int] = []

    def run(self) -> None:
        number = 0
        # One client: to make one reads the machine's certificates, which takes 20 ms of a core.
        with httpx.Client(headers=bearer(PRODUCER), timeout=20) as http:
            while not self._ended.wait(POSTING_PAUSE):
                title = str(number)
                key = {"Idempotency-Key": f"{self._user}-{title}"}
                body = {"to": {"users": [self._user]}, "title": title}
                try:
                    answer = http.post(self._url, json=body, headers=key)
                except httpx.TransportError:
                    continue
                self.statuses.append(answer.status_code)
                if answer.status_code in (201, 202):
                    self.accepted.append(title)
                    number += 1

    def stop(self) -> None:
        self._ended.set()
        self.join(30)


@pytest.mark.parametrize("seconds", [3.0, pytest.param(20.0, marks=pytest.mark.faults)])
def test_a_hanging_postgres_delays_posts_but_loses_and_reorders_none(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str, seconds: float
):
    server = start_server(database=database, redis=redis_url, store_timeout=0.5)
    posting = Posting(server, ada)
    posting.start()
    wait_until(lambda: len(posting.accepted) > 20)
    own_postgres.pause()
    time.sleep(seconds)  # waits for: a hang that lasts
    own_postgres.resume()
    resumed = len(posting.statuses)
    wait_until(lambda: posting.statuses[resumed:][-20:] == [201] * 20, patience=120)
    posting.stop()
    assert 202 in posting.statuses
    assert set(posting.statuses) <= {201, 202, 503}
    assert titles(server, ada, len(posting.accepted)) == posting.accepted


def test_a_node_killed_while_it_drains_leaves_the_rest_to_another(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    nodes = {
        name: start_server(database=database, redis=redis_url, node=name) for name in ("one", "two")
    }
    lose(own_postgres, *nodes.values())
    numbers = [str(number) for number in range(2000)]
    for part in range(0, len(numbers), 1000):
        items = [{"to": {"users": [ada]}, "title": each} for each in numbers[part : part + 1000]]
        answers = results(nodes["one"].producer(), items)
        assert {each["status"] for each in answers} == {202}
    own_postgres.start()
    wait_until(lambda: 0 < waiting(redis_url) < len(numbers), patience=30, what="draining")
    drains = execute(redis_url, "GET", "tocsin:spool:lease").decode()
    nodes.pop(drains).kill()
    left = waiting(redis_url)
    assert left > 0, "it was faster than the test"
    [survivor] = nodes.values()
    posting = Posting(survivor, ada)
    posting.start()
    wait_until(lambda: posting.statuses[-20:] == [201] * 20, patience=40, what="the other to drain")
    posting.stop()
    assert 202 in posting.statuses
    assert in_order(survivor, ada) == [*numbers, *posting.accepted]


def test_a_node_that_was_stopped_commits_nothing_in_front_of_what_others_have_spooled(
    start_server, postgres_url: str, redis_url: str, ada: str
):
    with Proxy(postgres_url) as line:
        parted = start_server(database=line.url, redis=redis_url, node="one")
        stopped = start_server(database=postgres_url, redis=redis_url, node="two")
        line.cut()
        wait_until(partial(is_lost, parted), what="the store's loss")
        stopped.producer().post(ada, title="first")
        stopped.signal(signal.SIGSTOP)
        try:
            expect_spooled(parted.producer().try_post(ada, title="second"))
            answers: list[httpx.Response] = []
            late = threading.Thread(
                target=lambda: answers.append(stopped.producer().try_post(ada, title="third"))
            )
            late.start()
            time.sleep(0.5)  # waits for: the post to be in the socket of the stopped process
        finally:
            stopped.signal(signal.SIGCONT)
        late.join(30)
        assert answers[0].status_code in (201, 202)
        assert titles(stopped, ada, 3) == ["first", "second", "third"]


def waiting(redis_url: str) -> int:
    return int(execute(redis_url, "XLEN", "tocsin:spool"))


def in_order(server: Server, user: str) -> list[str]:
    """All titles in the log of *user*."""
    found: list[str] = []
    with server.device(user, fresh_user("device"), cursor="0", window=1024) as device:
        while True:
            frame = device.receive()
            if frame["type"] == "synced":
                return found
            found.append(frame["notification"]["title"])
            if len(found) % 500 == 0:
                device.ack(frame)


def test_api_keys_that_were_in_use_go_on_working(
    start_server, own_postgres: Postgres, database: str, redis_url: str, ada: str
):
    server = start_server(database=database, redis=redis_url)
    key, unused = create_key(database), create_key(database)
    server.producer(key).post(ada)
    lose(own_postgres, server)
    time.sleep(6)  # waits for: what was read of the key to be older than the ring believes
    expect_spooled(server.producer(key).try_post(ada))
    assert server.producer(unused).try_post(ada).status_code == 503
    own_postgres.start()
    expect_drained(server)


def create_key(database: str) -> str:
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "tocsin",
            "key",
            "create",
            "--scope=notify",
            f"--database={database}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    return made.stdout.splitlines()[-1]


def test_a_node_alone_has_no_spool(server: Server):
    answer = server.http.get("/v1/admin/spool", headers=bearer(ADMIN))
    expect_problem(answer, 404, "not_found")
    answer = server.http.delete("/v1/admin/spool/1-1", headers=bearer(ADMIN))
    expect_problem(answer, 404, "not_found")
