"""Nodes of two releases on one database: the program before the newest migrations, and this one.

The older one migrates the database and serves; the newest migrations are applied beside it; then
both serve. See docs/operations.md, rolling upgrades.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest

from servers.node import ROOT, wait_until
from servers.tokens import ADMIN, bearer
from tests.system.earlier_kit import earlier_program, knows_newer_schemas
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server, fresh_user


@pytest.fixture
def earlier(tmp_path):
    return earlier_program(tmp_path / "earlier")


@pytest.fixture
def database(postgres_url):
    return postgres_url


def migrate(program, database) -> None:
    subprocess.run(
        [sys.executable, "-m", "tocsin", "migrate", "--database", database],
        cwd=program,
        env={"PYTHONPATH": str(program), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )


@pytest.fixture
def start(database, redis_url, tmp_path):
    """Starts a node of a program, on the one database and Redis."""
    servers: list[Server] = []

    def start(program) -> Server:
        directory = tmp_path / f"node-{len(servers)}"
        directory.mkdir()
        settings = {"database": database, "redis": redis_url, "drain-time": 2}
        environment = {"PYTHONPATH": str(program)}
        servers.append(Server(directory, settings, environment=environment))
        return servers[-1].start()

    yield start
    for each in servers:
        each.close()
    for each in servers:
        each.expect_no_bugs()


def test_nodes_of_both_releases_serve_side_by_side(earlier, database, start):
    migrate(earlier, database)
    older = start(earlier)
    run_through(older, older)

    migrate(ROOT, database)  # under a node that serves

    run_through(older, older)
    newer = start(ROOT)
    run_through(older, newer)
    run_through(newer, older)


def test_a_node_of_the_older_release_that_restarts_starts(earlier, database, start):
    if not knows_newer_schemas(earlier):
        pytest.skip("the program before the newest migrations refuses all that are newer")
    migrate(earlier, database)
    migrate(ROOT, database)

    older = start(earlier)

    newer = start(ROOT)
    run_through(older, newer)
    run_through(newer, older)
    assert any(line["event"] == "the database is of a newer release" for line in older.log())


def run_through(here: Server, there: Server) -> None:
    """The acts of producers, devices, users and operators: posted *here*, received *there*."""
    user, producer = fresh_user(), here.producer()
    with there.device(user) as device:
        device.expect_synced()
        direct = producer.post(user, title="direct", headers={"Idempotency-Key": fresh_user("key")})
        device.ack(device.expect_push("direct"))
        # From another node's ledger: once it is written.
        wait_until(
            lambda: producer.ledger(direct).get("phone", {}).get("acknowledged_at"),
            what="the acknowledgment",
        )
        producer.update(direct, title="changed")
        device.ack(device.expect_push("changed", change="updated"))
        producer.withdraw(direct)
        device.ack(device.expect_push(change="withdrawn"))
    away(producer, Person(there, user))
    with there.device(user) as device:
        frames = iter(device.receive, None)
        caught_up = list(takewhile(lambda frame: frame["type"] != "synced", frames))
        titles = {each["notification"]["title"] for each in caught_up if each["type"] == "push"}
        assert titles == {"for later", "topical", "2 new"}


def away(producer: Producer, person: Person) -> None:
    """The events for a user who has no device connected just now."""
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    producer.post(person.user, title="for later", deliver_at=soon.isoformat())
    topic = fresh_user("topic")
    assert person.request("PUT", f"/v1/me/subscriptions/{topic}").status_code == 204
    body = {"to": {"topic": topic}, "title": "topical"}
    expect_json(producer.request("POST", "/v1/notifications", json=body), 201)
    for title in ("1 new", "2 new"):
        producer.post(person.user, title=title, collapse_key="count")
    wait_until(lambda: "for later" in person.titles(), what="what was scheduled")
    assert set(person.titles()) == {"for later", "topical", "2 new"}
    expect_json(
        person.request("PUT", "/v1/me/preferences", json={"categories": {"shouting": False}})
    )
    person.mark("read", all=True)
    assert person.counters() == (0, 0)
    assert person.get("/v1/me/devices")["devices"][0]["device"] == "phone"
    letters = producer.request("GET", "/v1/admin/dead-letters", headers=bearer(ADMIN))
    assert letters.status_code == 200
