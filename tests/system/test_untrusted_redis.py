"""Three nodes in the roles that docs/operations.md gives them, and an intruder in their Redis.

Against anything that the intruder puts there or says: notifications go on arriving, no client is
disconnected or told anything by it, and an operator sees what was set aside.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import asyncpg
import pytest
import redis

from cluster.services import make_database, make_redis
from servers.node import ROOT, wait_until
from servers.postgres import Postgres, execute, in_thread
from servers.redis import Redis
from servers.tokens import ADMIN, PRODUCER, bearer, token
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server, fresh_user
from tests.system.test_spool import expect_drained, expect_spooled, lose

NAMES = ("node-1", "node-2", "node-3")
EVERYTHING = "on >intruder ~* &* +@all"


class Stage:
    """The cluster, and who is in its Redis."""

    def __init__(self, postgres: Postgres, redis_server: Redis, database: str) -> None:
        self.postgres = postgres
        self.redis = redis_server
        self.database = database
        self.nodes: list[Server] = []
        address = redis_server.url.partition("@")[2]
        self.intruder = redis.Redis.from_url(f"redis://intruder:intruder@{address}")

    def refused(self, what: str, reason: str) -> float:
        """How many such things all nodes have refused."""
        name = f'tocsin_redis_refused_total{{reason="{reason}",what="{what}"}}'
        return sum(metric(node, name) for node in self.nodes)

    def admin(self) -> Producer:
        return Producer(self.nodes[0].http, ADMIN)

    def aside(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = expect_json(self.admin().request("GET", "/v1/admin/spool"))[
            "poisoned"
        ]
        return found

    def expect_well(self) -> None:
        """All nodes hear one another, and a post to one arrives at once from another."""
        user = fresh_user()
        with self.nodes[2].device(user) as device:
            device.expect_synced()
            for number, node in enumerate(self.nodes):
                node.producer().post(user, title=f"{number}")
                device.ack(device.expect_push(f"{number}"))
        for node in self.nodes:
            assert node.metric("tocsin_bus_nodes") == len(NAMES) - 1
            assert expect_json(node.http.get("/readyz"))["status"] == "ok"


def metric(node: Server, name: str) -> float:
    try:
        return node.metric(name)
    except LookupError:
        return 0.0


@pytest.fixture
def stage(own_postgres: Postgres, start_server: Callable[..., Server]) -> Iterator[Stage]:
    with closing(make_redis(users={"intruder": EVERYTHING}, durable=True)) as redis_server:
        redis_server.start()
        stage = Stage(own_postgres, redis_server, make_database(own_postgres))
        # Our own client has asked for something while the server started.
        stage.intruder.acl_log_reset()
        # No flags: everybody on the machine can read them.
        environment = {"TOCSIN_DATABASE": stage.database, "TOCSIN_REDIS": redis_server.url}
        with ThreadPoolExecutor() as threads:
            start = partial(start_server, environment)
            stage.nodes = list(threads.map(lambda name: start(node=name), NAMES))
        wait_until(
            lambda: all(node.metric("tocsin_bus_nodes") == 2 for node in stage.nodes),
            what="the nodes to hear each other",
        )
        yield stage
        stage.intruder.close()


def live(server: Server, user: str) -> Device:
    device = server.device(user)
    device.expect_synced()
    return device


def test_the_roles_can_do_all_that_a_cluster_does_and_nothing_else(stage: Stage, ada: str):
    first, second, _ = stage.nodes
    stage.expect_well()
    with live(second, ada) as phone:
        joined = first.producer().request("PUT", f"/v1/topics/news/subscribers/{ada}")
        assert joined.status_code == 204
        draft = {"to": {"topic": "news"}, "title": "to the topic"}
        expect_json(first.producer().request("POST", "/v1/notifications", json=draft), 201)
        phone.ack(phone.expect_push("to the topic"))
        path = f"/v1/admin/users/{ada}"
        wait_until(partial(is_present, first, ada), what="presence")
        lose(stage.postgres, *stage.nodes)
        key = {"Idempotency-Key": fresh_user("k")}
        for node in (first, second):
            expect_spooled(node.producer().try_post(ada, title="spooled", headers=key))
        stage.intruder.xadd("tocsin:spool", {"foreign": "entry"})
        stage.postgres.start()
        brought(phone, "spooled")
        expect_drained(*stage.nodes)
        [aside] = stage.aside()
        assert (
            stage.admin().request("DELETE", f"/v1/admin/spool/{aside['entry']}").status_code == 204
        )
        gone = first.http.post(f"{path}/disconnect", headers=bearer(ADMIN))
        assert gone.status_code == 204
        phone.expect_goodbye(4410)
    stage.intruder.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: all(n.metric("tocsin_bus_gaps_total") for n in stage.nodes), what="gaps")
    stage.expect_well()
    assert stage.intruder.acl_log() == [], "a command that they need is not among those allowed"

    with pytest.raises(redis.exceptions.NoPermissionError):
        stage.redis.execute("SET", "another", "x")
    with pytest.raises(Exception, match=r"permission denied|must be owner"):
        execute(stage.database, "DROP TABLE users")


def brought(device: Device, title: str) -> None:
    """Wait for the push of *title*, past whatever the device is told of hops that were lost."""
    while True:
        frame = device.receive()
        if frame["type"] == "push":
            assert frame["notification"]["title"] == title
            return
        assert frame["type"] == "status"


def is_present(node: Server, user: str) -> bool:
    """Whether *node* says that the user's phone is connected, somewhere."""
    answer = node.http.get(f"/v1/users/{user}/presence", headers=bearer(PRODUCER))
    return answer.status_code == 200 and "phone" in answer.text


FOREIGN: list[dict[Any, Any]] = [
    {"a foreign": "entry"},
    {b"\xff\xfe": b"\x00\xff"},
    {"payload": b"\xff\xff"},
    {"payload": '{"v":1,"kind":"purge","command":{}}'},
    {"payload": "[" * 100_000},
    {"payload": b"x" * (9 << 20)},
    {"payload": "{}", "at": "9" * 1000, "seal": "0" * 32},
]


@pytest.mark.parametrize("store_is_away", [False, True], ids=["at peace", "in an outage"])
def test_foreign_entries_in_the_spool_end_nobody(stage: Stage, ada: str, store_is_away: bool):
    first = stage.nodes[0]
    if store_is_away:
        lose(stage.postgres, *stage.nodes)
        expect_spooled(first.producer().try_post(ada, title="before"))
    for fields in FOREIGN:
        stage.intruder.xadd("tocsin:spool", fields)
    stage.intruder.execute_command("XADD", "tocsin:spool", f"{2**64 - 1}-{2**64 - 1}", "x", "y")
    if store_is_away:
        expect_spooled(first.producer().try_post(ada, title="behind"))
        stage.postgres.start()
    wait_until(lambda: len(stage.aside()) >= len(FOREIGN) + 1, patience=5)
    aside = stage.aside()
    assert len(aside) == len(FOREIGN) + 1, aside
    expect_drained(*stage.nodes)
    stage.expect_well()
    faults = ("no_payload", "unsealed", "too_large", "forged")
    assert {each["reason"] for each in aside} == {f"not of this cluster: {f}" for f in faults}
    assert max(len(each["payload"]) for each in aside) <= 4096
    assert sum(node.metric("tocsin_spool_poisoned_total") for node in stage.nodes) == len(aside)
    path = "/v1/admin/spool/"
    refused = stage.admin().request("POST", f"{path}{aside[0]['entry']}/replay")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    for each in aside:
        assert stage.admin().request("DELETE", path + each["entry"]).status_code == 204
    assert stage.aside() == []
    if store_is_away:
        with first.device(ada, "late", cursor="0") as late:
            late.expect_pushes("before", "behind")


def test_keys_of_another_kind_end_nobody(stage: Stage, ada: str):
    first, second, _ = stage.nodes
    keys = [
        *("spool", "spool:poisoned", "spool:foreign", "spool:lease", "spool:run"),
        *("disconnected", f"presence:{ada}"),
    ]
    with live(second, ada) as phone:
        for wrong in (stage.intruder.set, stage.intruder.sadd):
            for key in keys:
                stage.intruder.delete(f"tocsin:{key}")
                wrong(f"tocsin:{key}", b"\xff" * 1000)
            assert stage.aside() == []
            # Presence is renewed every 10 s.
            wait_until(partial(is_present, first, ada), patience=20, what="presence")
            expect_drained(*stage.nodes)
        lose(stage.postgres, *stage.nodes)
        stage.intruder.delete("tocsin:spool")
        stage.intruder.set("tocsin:spool", "x")
        expect_spooled(first.producer().try_post(ada, title="spooled"))
        stage.postgres.start()
        brought(phone, "spooled")
    expect_drained(*stage.nodes)
    stage.expect_well()
    assert stage.refused("key", "wrong_kind") > 0


def test_a_forged_or_repeated_envelope_is_heeded_by_no_node(stage: Stage, ada: str):
    first, second, _ = stage.nodes
    listener = stage.intruder.pubsub()
    listener.psubscribe("*")
    with live(second, ada) as phone:
        first.producer().post(ada, title="heard by the intruder")
        phone.ack(phone.expect_push("heard by the intruder"))
        forged = [
            b"\x00\x06node-1\x92\x08\xa3" + ada.encode()[:3],  # as an older release disconnects
            b"\x00\x06node-1\xc1" + b"1234567\x00" + b"\xff" * 8 + b"\x92\x08\xa1x" + b"\0" * 16,
            b"",
            b"\xff" * 1000,
            b"x" * (9 << 20),
        ]
        for channel in ("tocsin:0:c", f"tocsin:0:u:{ada}", "tocsin:0:t:*"):
            for payload in forged:
                stage.intruder.publish(channel, payload)
        # Once, an operator does disconnect somebody, and the intruder keeps it.
        bob = fresh_user("bob")
        first.http.post(f"/v1/admin/users/{bob}/disconnect", headers=bearer(ADMIN))
        recorded = drained(listener, until=bob.encode())
        with live(second, bob) as bobs:
            for message in recorded:
                stage.intruder.publish(message["channel"], message["data"])
            marks = stage.intruder.zrange("tocsin:disconnected", 0, -1)
            now = stage.intruder.time()[0] * 1000 + 1000
            kept: dict[Any, Any] = {**dict.fromkeys(marks, now), ada.encode(): now}
            stage.intruder.zadd("tocsin:disconnected", kept)
            first.producer().post(ada, bob, title="after all that")
            bobs.expect_push("after all that")
            phone.expect_push("after all that")
        wait_until(lambda: stage.refused("envelope", "repeated") >= 1, what="repetitions")
        assert stage.refused("envelope", "unsealed") > 0
        assert stage.refused("envelope", "forged") > 0
        assert stage.refused("envelope", "too_large") > 0
    stage.expect_well()
    told = [line for line in second.log() if line["event"] == "a value in Redis is not trusted"]
    assert 0 < len(told) < 50
    listener.close()


def drained(listener: Any, until: bytes) -> list[dict[str, Any]]:
    """The messages that were heard, to the one that has *until* in it."""
    heard = []
    for message in listener.listen():
        if message["type"] == "pmessage":
            heard.append(message)
            if until in message["data"]:
                break
    return heard


def test_the_secret_is_nowhere_but_in_the_database(stage: Stage, ada: str):
    first = stage.nodes[0]
    secret = execute_for(stage.database, "SELECT value FROM meta WHERE name = 'secret'")
    assert len(secret) == 64
    lose(stage.postgres, *stage.nodes)
    expect_spooled(first.producer().try_post(ada))
    told = [
        *(node._log.read_text() for node in stage.nodes),
        *(first.http.get(path, headers=bearer(ADMIN)).text for path in ("/metrics", "/readyz")),
        stage.admin().request("GET", "/v1/admin/spool").text,
        stage.admin().request("GET", "/v1/admin/actors").text,
        first.http.get("/v1/me", headers=bearer(token(ada))).text,
        subprocess.run(
            [sys.executable, "-m", "tocsin", "config", "show"],
            env={**first.environment, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout,
        *(repr(stage.intruder.dump(key)) for key in stage.intruder.scan_iter()),
    ]  # fmt: skip
    for text in told:
        assert secret not in text
        assert repr(bytes.fromhex(secret))[2:-1] not in text


def execute_for(url: str, query: str) -> Any:
    """The only value that *query* finds."""

    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return in_thread(lambda: asyncio.run(ask()))
