"""`tocsin copy`: another database goes on where the first one stopped."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.node import wait_until
from servers.postgres import execute
from servers.tokens import bearer
from tests.cli.command_kit import last_line
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user
from tocsin.persistence.sqlite.server_lock import Holder, ServerLock

MORE = """
INSERT INTO dead_letters (id, notification_id, user_id, device_id, cause, reason, attempts,
    first_sent_at, dead_at, history)
    VALUES (41, 'n', 'u', '', 'expired', 'é \\u0000', 1, NULL, 2, '[]');
INSERT INTO dead_letters (id, notification_id, user_id, device_id, cause, reason, attempts,
    first_sent_at, dead_at, history) VALUES (77, 'm', 'u', '', 'expired', '', 1, NULL, 2, '[]');
DELETE FROM dead_letters WHERE id = 77;
INSERT INTO tickets (hash, user_id, scopes, expires_at) VALUES (x'00ff', 'u', '', 9999999999999);
INSERT INTO ingest_letters (id, connector, place, headers, encoding, body, cut, problem, dead_at,
    history)
    VALUES (75, 'events', 'e/1', '{}', 'text', '{"to":"ü"}', 0, '{}', 2, '[]');
INSERT INTO connectors VALUES ('events', 17, '["e/2"]');
UPDATE receipt_log SET head = 3, horizon = 1;
INSERT INTO receipts VALUES (3, 'delivered', 'n', 'builds', 'u', 'phone', NULL, 2, NULL);
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
    VALUES ('s', 'webhook', 'https://é.example', '[]', ',read,', '', '', 100, 2, 'paused', 1, 1);
INSERT INTO sink_letters VALUES ('s', 2, 'u', '{}', '400', 2, 'dead', 1);
INSERT INTO escalations VALUES ('n', 1, '[]', 0, 9999999999999, '');
INSERT INTO addresses VALUES ('u', 'email', 'main', 'u@é.example', 'f', 1, 0, NULL, NULL);
INSERT INTO sends VALUES ('x', 'n', 'u', 'email', 'main', 0, 'delivered', 0, 'sent', 1, 1, NULL, 2,
    NULL, '', NULL, NULL, NULL);
INSERT INTO channel_preferences VALUES ('u', '{"channels":{"email":true}}');
INSERT INTO preferences VALUES ('u', 'category', 'loud', 0), ('u', 'category', 'soft', 1);
"""


@pytest.fixture
def used(tmp_path_factory):
    """A server on SQLite that was used for all kinds of things, and goes on running."""
    server = Server(tmp_path_factory.mktemp("used"), {"drain-time": 0.2})
    try:
        server.start()
        yield server
    finally:
        server.close()


def use(server, tocsin):
    user, producer = fresh_user(), server.producer()
    with server.device(user) as device:
        device.expect_synced()
        key = {"Idempotency-Key": "once"}
        first = producer.post(user, title="first", headers=key, collapse_key="c")
        device.ack(device.expect_push("first"))
        wait_until(lambda: producer.ledger(first)["phone"]["acknowledged_at"])
    assert Person(server, user).request("PUT", "/v1/me/subscriptions/t").status_code == 204
    topical = {"to": {"topic": "t"}, "title": "topical"}
    expect_json(producer.request("POST", "/v1/notifications", json=topical), 201)
    assert Person(server, user).titles() == ["topical", "first"]
    producer.post(user, title="later", deliver_at=iso(1.5))
    api_key = last_line(
        tocsin("key", "create", "--scope", "notify", "--data", server.settings["data"])
    )
    return user, first, api_key


def iso(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def digests(result):
    assert result.exit_code == 0, result.output
    head, *lines = (re.split(r" {2,}", line) for line in result.stdout.splitlines())
    assert head == ["TABLE", "ROWS", "DIGEST"]
    return {name: (int(rows), digest) for name, rows, digest in lines}


def test_a_server_goes_on_with_the_copy_and_it_can_go_back(used, tocsin, postgres_url, tmp_path):
    user, first, api_key = use(used, tocsin)
    path = Path(used.settings["data"]) / "tocsin.db"
    used.stop()
    database = sqlite3.connect(path)
    database.executescript(MORE)
    database.close()

    there = digests(tocsin("copy", "--from", f"sqlite:///{path}", "--to", postgres_url))
    assert all(rows for rows, _ in there.values()), there
    back = digests(
        tocsin(
            "copy",
            "--to",
            "sqlite:///back.db",
            TOCSIN_DATABASE=postgres_url,
            TOCSIN_REDIS="redis://:p@h",
        )
    )
    assert back == there

    moved = Server(tmp_path, {"database": postgres_url, "drain-time": 0.2})
    try:
        moved.start()
        with moved.device(user) as device:
            titles: list[str] = []
            while titles != ["topical", "later"]:
                frame = device.receive()
                assert frame["type"] in {"push", "synced", "inbox"}, frame
                titles += [frame["notification"]["title"]] if frame["type"] == "push" else []
        again = moved.producer().try_post(
            user, title="first", headers={"Idempotency-Key": "once"}, collapse_key="c"
        )
        assert (again.status_code, again.json()["id"]) == (201, first)
        posted = moved.http.post(
            "/v1/notifications",
            json={"to": {"users": [user]}, "title": "by key"},
            headers=bearer(api_key),
        )
        assert posted.status_code == 201
    finally:
        moved.close()
    kept = sqlite3.connect(tmp_path / "back.db")
    assert kept.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = 'dead_letters'"
    ).fetchone() == (77,)
    kept.close()


def test_an_id_of_a_dead_letter_is_not_given_again(tocsin, postgres_url, tmp_path):
    tocsin("migrate")
    database = sqlite3.connect(tmp_path / "tocsin-data" / "tocsin.db")
    database.executescript(MORE)
    database.close()
    digests(tocsin("copy", "--to", postgres_url))

    insert = MORE.split(";")[1].replace("id, ", "", 1).replace("77, ", "", 1)
    execute(postgres_url, insert)

    execute(postgres_url, "DO $$ BEGIN ASSERT (SELECT max(id) FROM dead_letters) = 78; END $$")


def test_a_target_that_is_not_empty_is_refused(tocsin, postgres_url, tmp_path):
    tocsin("migrate")
    url = f"sqlite:///{tmp_path / 'tocsin-data' / 'tocsin.db'}"
    digests(tocsin("copy", "--to", postgres_url))
    digests(tocsin("copy", "--to", postgres_url))  # it was empty, and the copy too
    tocsin("key", "create", "--scope", "notify")
    digests(tocsin("copy", "--to", postgres_url))

    refused = tocsin("copy", "--to", postgres_url)
    assert refused.exit_code == 1
    assert "The target is not empty: api_keys has 1 rows" in refused.stderr
    there = tocsin("copy", "--from", postgres_url, "--to", url)
    assert there.exit_code == 1
    assert "exists" in there.stderr


def test_a_source_with_a_running_server_is_refused_unless_it_is_wanted(used, tocsin, tmp_path):
    used.producer().post("ada", title="before")
    url = f"sqlite:///{Path(used.settings['data']) / 'tocsin.db'}"
    refused = tocsin("copy", "--from", url, "--to", "sqlite:///copy.db")
    assert refused.exit_code == 1
    assert f"process {used.process.pid}" in refused.stderr
    assert not (tmp_path / "copy.db").exists()

    digests(tocsin("copy", "--from", url, "--to", "sqlite:///copy.db", "--running"))
    epochs = {
        sqlite3.connect(path).execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        for path in (tmp_path / "copy.db", Path(used.settings["data"]) / "tocsin.db")
    }
    assert len(epochs) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "copy.db-lock"]


def test_nodes_on_postgres_are_seen(tocsin, postgres_url, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("own"), {"database": postgres_url, "drain-time": 0.2})
    try:
        server.start()
        refused = tocsin("copy", "--from", postgres_url, "--to", "sqlite:///copy.db")
        assert refused.exit_code == 1
        assert "connections of nodes are open to the source" in refused.stderr
        tocsin("migrate")
        refused = tocsin("copy", "--to", postgres_url)
        assert "connections of nodes are open to the target" in refused.stderr
    finally:
        server.close()


def test_an_older_source_is_to_be_brought_up_to_date_first(tocsin, tmp_path):
    tocsin("migrate")
    path = tmp_path / "tocsin-data" / "tocsin.db"
    database = sqlite3.connect(path)
    database.execute("DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations)")
    database.commit()
    database.close()
    refused = tocsin("copy", "--to", "sqlite:///copy.db")
    assert refused.exit_code == 1
    assert "The source lacks migration 00" in refused.stderr
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["--to", "mysql://x"], ["--to", "sqlite:///tocsin-data/tocsin.db"]]
)
def test_wrong_usage_has_exit_code_2(tocsin, arguments):
    assert tocsin("copy", *arguments).exit_code == 2


def test_no_server_starts_on_what_is_being_copied(tocsin, tmp_path):
    tocsin("migrate")
    path = tmp_path / "tocsin-data" / "tocsin.db"
    lock = ServerLock(path, Holder(program="tocsin restore", pid=7, machine="x"))
    assert "in use by `tocsin restore`" in tocsin("copy", "--to", "sqlite:///copy.db").stderr
    lock.release()
