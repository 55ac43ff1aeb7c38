"""`tocsin forget-user`: nothing names them any more, and nobody else misses anything."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, SECRET, bearer, token
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user


@pytest.fixture(params=["sqlite", "postgres"])
def own(request, tmp_path_factory):
    settings = {"drain-time": 0.2}
    if request.param == "postgres":
        settings["database"] = request.getfixturevalue("postgres_url")
    server = Server(tmp_path_factory.mktemp("own"), settings)
    try:
        yield server.start()
    finally:
        server.close()
        server.expect_no_bugs()


@pytest.fixture
def forget(tocsin, own):
    """`tocsin forget-user` on the server's database, with its secret."""
    names = [name for name in ("data", "database") if name in own.settings]
    where = [f"--{name}={own.settings[name]}" for name in names]
    return lambda *arguments: tocsin(
        "forget-user", *where, f"--url={own.url}", *arguments, TOCSIN_JWT_SECRET=SECRET
    )


def live(server, user, other):
    """Leaves traces of *user* wherever there may be any, some of them beside those of *other*."""
    producer = server.producer()
    with server.device(user) as device:
        device.expect_synced()
        alone = producer.post(user, title="for one")
        shared = producer.post(user, other, title="for both")
        device.ack(device.expect_push("for one"), device.expect_push("for both"))
        wait_until(lambda: producer.ledger(alone)["phone"]["acknowledged_at"])
    person = Person(server, user)
    for each in (user, other):
        Person(server, each).request("PUT", "/v1/me/subscriptions/news").raise_for_status()
    topical = {"to": {"topic": "news"}, "title": "topical"}
    expect_json(producer.request("POST", "/v1/notifications", json=topical), 201)
    assert "topical" in person.titles()
    preferences = {"categories": {"loud": False}}
    expect_json(person.request("PUT", "/v1/me/preferences", json=preferences))
    expect_json(person.request("POST", "/v1/tickets"), 201)
    producer.post(user, title="collapses", collapse_key="c")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    producer.post(user, other, title="for both, later", deliver_at=later)
    lone = producer.post(user, title="for one, later", deliver_at=later)
    theirs = server.producer(token(user, "notify"))
    by_them = theirs.post(other, title="by them", headers={"Idempotency-Key": "k"})
    producer.post(other, title=f"about {user}")
    return alone, shared, lone, by_them


def counts(result):
    assert result.exit_code == 0, result.output
    _, *lines = (line.split() for line in result.stdout.splitlines() if "  " in line)
    return {name: tuple(map(int, numbers)) for name, *numbers in lines}


def test_it_counts_first_and_removes_nothing(own, forget):
    user, other = fresh_user("ada"), fresh_user("ben")
    live(own, user, other)
    before = counts(forget(user))
    expected = {"inbox", "users", "devices", "deliveries", "tickets", "subscriptions"}
    expected |= {"preferences", "collapsing", "schedule", "notifications", "idempotency"}
    assert before.keys() == expected
    assert counts(forget(user)) == before


def test_nothing_names_them_although_a_device_is_connected(own, forget, tmp_path):
    user, other = fresh_user("ada"), fresh_user("ben")
    alone, shared, lone, by_them = live(own, user, other)
    device = own.device(user, "tablet")
    titles = Person(own, other).titles()

    result = forget(user, "--yes")

    after = counts(result)
    assert after
    assert {left for _, left in after.values()} == {0}
    assert "1 notification has the name in what it says" in result.stderr
    assert any(frame["type"] == "goodbye" for frame in device.frames_to_the_end())
    producer = own.producer()
    for gone in (alone, lone):
        assert producer.request("GET", f"/v1/notifications/{gone}").status_code == 404
    assert producer.view(shared)["title"] == "for both"
    assert producer.view(by_them)["title"] == "by them"
    assert Person(own, other).titles() == titles
    topic = expect_json(producer.request("GET", "/v1/topics/news/subscribers"))
    assert topic["subscribers"] == [other]
    assert "No row names them." in forget(user).stdout
    assert forget(user, "--yes").exit_code == 0
    assert Person(own, user).titles() == []  # a new user, of whom nothing is known


def test_no_byte_of_the_file_names_them(tocsin, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("own"), {"drain-time": 0.2})
    data = Path(str(server.settings["data"]))
    user, other = fresh_user("ada"), "ben"
    try:
        server.start()
        server.producer().post(user, other, title="Hello")
        Person(server, user).mark("read", all=True)
        server.stop()
    finally:
        server.close()
    assert any(user.encode() in each.read_bytes() for each in data.glob("tocsin.db*"))

    assert tocsin("forget-user", user, "--yes", "--data", data).exit_code == 0
    assert tocsin("vacuum", "--data", data).exit_code == 0

    assert not any(user.encode() in each.read_bytes() for each in data.glob("tocsin.db*"))


def test_where_a_server_runs_that_cannot_be_asked_nothing_is_removed(own, forget):
    user = fresh_user()
    own.producer().post(user)
    refused = forget(user, "--yes", "--url=http://127.0.0.1:1")
    assert refused.exit_code in (1, 2)
    before = counts(forget(user))
    assert before["inbox"] == (1,)


def test_vacuum_gives_room_back_and_says_how_much(own, tocsin):
    producer = own.producer()
    for _ in range(20):
        producer.post(fresh_user(), body="x" * 4000)
    is_file = "database" not in own.settings
    where = [f"--{n}={own.settings[n]}" for n in ("data", "database") if n in own.settings]
    while_running = tocsin("vacuum", *([] if is_file else ["--full"]), *where)
    assert while_running.exit_code == 1
    assert ("in use by" if is_file else "stop the nodes first") in while_running.stderr
    if not is_file:
        assert tocsin("vacuum", *where).exit_code == 0
    own.stop()
    done = tocsin("vacuum", *([] if is_file else ["--full"]), *where)
    assert done.exit_code == 0
    assert re.fullmatch(r"[\d.]+ [KM]iB before, [\d.]+ [KM]iB now\n", done.stdout)
    own.start()
    assert own.http.get("/metrics", headers=bearer(ADMIN)).status_code == 200
