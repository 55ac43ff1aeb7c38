"""Operators see whether a node is alive and ready, and its work; all errors have one form."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys

import asyncpg
import httpx
import pytest

from servers.node import PATIENCE, ROOT
from servers.tokens import ADMIN, PRODUCER, bearer
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server


def test_health_is_asked_without_credentials(server: Server):
    assert server.http.get("/livez").status_code == 200
    ready = expect_json(server.http.get("/readyz"))
    assert ready["hops"]["store"] == "ok"


def test_the_actor_tree_is_there_to_look_at(server: Server, ada):
    with server.device(ada) as phone:
        phone.expect_synced()
        answer = server.http.get("/v1/admin/actors?limit=10000", headers=bearer(ADMIN))
        tree = {actor["path"]: actor for actor in expect_json(answer)["actors"]}
        assert {"/storage", "/users", "/connections", "/notifications", "/http"} <= tree.keys()
        users = {actor["path"] for actor in tree["/users"]["children"]}
        assert f"/users/{ada}" in users
        assert tree["/connections"]["child_count"] >= 1
        assert tree["/storage"]["restarts"] == 0


def test_metrics_count_what_happens(server: Server, producer: Producer, ada):
    before = server.metric("tocsin_store_transactions_total")
    with server.device(ada) as phone:
        phone.expect_synced()
        producer.post(ada)
        phone.ack(phone.expect_push())
        assert server.metric("tocsin_sessions") >= 1
        assert server.metric("tocsin_users_online") >= 1
    assert server.metric("tocsin_store_transactions_total") > before
    assert server.metric("tocsin_store_available") == 1
    assert server.metric("tocsin_asyncio_faults_total") == 0


def test_every_reason_for_a_refusal_is_a_metric_from_the_start(server: Server):
    for reason in ("origin", "unauthenticated", "peer_rate", "credential_body_bytes_max"):
        assert server.metric(f'tocsin_refused_total{{reason="{reason}"}}') >= 0


def test_an_act_of_an_operator_is_in_the_audit_log(server: Server, ada):
    path = f"/v1/admin/users/{ada}/disconnect"
    asked = server.http.post(path, headers=bearer(ADMIN) | {"X-Request-Id": "audit-1"})
    assert asked.status_code == 204
    [line] = [
        each for each in server.log() if each["logger"] == "audit" and each.get("user") == ada
    ]
    assert (line["event"], line["outcome"]) == ("user disconnected", "done")
    assert line["credential"].endswith(":root")


def test_metrics_may_have_a_port_of_their_own(start_server, tmp_path):
    from servers.machine import free_port

    port = free_port()
    server = start_server(metrics_port=port)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)
    assert answer.status_code == 200
    assert "tocsin_store_transactions_total" in answer.text
    for path in ("/v1/inbox", "/v1/admin/actors", "/livez"):
        expect_problem(httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE), 404)
    expect_problem(server.http.get("/metrics"), 401)


def test_a_request_id_that_makes_sense_is_kept(server: Server):
    for path in ("/livez", "/nowhere", "/v1/inbox"):
        answer = server.http.get(path, headers={"X-Request-Id": "trace-1.a:B_c"})
        assert answer.headers["X-Request-Id"] == "trace-1.a:B_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>", "\u00e4", '"', "a,b"])
def test_another_request_id_is_replaced(server: Server, given):
    answer = server.http.get("/livez", headers={"X-Request-Id": given.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/inbox/", 404, "not_found"),
        ("POST", "/v1/inbox", 405, "method_not_allowed"),
        ("PUT", "/v1/notifications", 405, "method_not_allowed"),
        ("TRACE", "/livez", 405, "method_not_allowed"),
        ("BREW", "/livez", 405, "method_not_allowed"),
        ("GET", "/v1/notifications", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_path_is_a_problem_too(producer: Producer, method, path, status, code):
    answer = producer.request(method, path)
    expect_problem(answer, status, code)
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize("path", ["//v1/inbox", "/v1//inbox", "/v1/../v1/inbox", "/v1/inbox%2f"])
def test_paths_are_not_guessed(server: Server, path):
    answer = httpx.request("GET", f"{server.url}{path}", headers=bearer(PRODUCER), timeout=PATIENCE)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        expect_problem(answer, answer.status_code)


def test_a_refused_request_is_logged_without_what_it_said(start_server, ada):
    # Of its own: refusals of one kind share a bounded number of lines.
    server = start_server()
    since = server.log_size
    secret = "the secret content of a notification"
    server.http.post(
        "/v1/notifications",
        headers=bearer(PRODUCER),
        json={"to": {"users": [ada]}, "titel": secret, "body": secret},
    )
    server.http.get("/v1/inbox?ticket=tt_secretticket", headers=bearer("eyJhbGciOiJub25lIn0.e30."))
    with server.device(ada) as phone:
        phone.expect_synced()
        server.producer().post(ada, title=secret, data={"secret": secret})
        phone.expect_push(secret)
        phone.socket.send(json.dumps({"type": "ack", "body": secret}))
        phone.expect_goodbye(4400)

    lines = server.log(since)
    assert any(line.get("status") == 422 for line in lines)
    text = json.dumps(lines)
    for word in (secret, "secretticket", PRODUCER, "eyJhbGciOiJub25lIn0"):
        assert word not in text


def test_a_database_of_another_release_is_refused_in_a_sentence(postgres_url, tmp_path):
    options = ["--data", str(tmp_path), "--database", postgres_url]
    assert run_tocsin("migrate", *options).returncode == 0
    asyncio.run(execute(postgres_url, "UPDATE migrations SET checksum = 'another'"))

    result = run_tocsin("serve", "--port=0", *options)

    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: The store cannot be used: Migration 0001"), result.stderr[-2000:]


def run_tocsin(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tocsin", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
