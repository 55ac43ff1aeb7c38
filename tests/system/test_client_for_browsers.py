"""The client for browsers, run by Node: its own tests, and with a real server on the other side."""

from __future__ import annotations

import json
import subprocess
from functools import partial

import httpx
import pytest

from servers.node import PATIENCE, ROOT, wait_until
from servers.program import find_binary
from servers.tokens import bearer, token
from tests.system.page_kit import Follow, follow_with, web_socket_command
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user
from tocsin.protocol.closing import Closing

HERE = ROOT / "tests" / "browser"
CLIENT = ROOT / "tocsin" / "browser" / "client"


@pytest.fixture(scope="module")
def node() -> str:
    return find_binary("node", "nodejs")


@pytest.fixture(scope="module")
def follow() -> Follow:
    return follow_with(web_socket_command())


def test_its_own_tests_pass(node):
    files = [str(each) for each in sorted(HERE.glob("*.test.js"))]
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_it_has_the_closing_reasons_of_the_protocol(node):
    asks = (
        f"import * as c from {json.dumps((CLIENT / 'closing.js').as_uri())};"
        f"const told = {json.dumps({int(each): each.word for each in Closing})};"
        "const said = Object.entries(told).map(([code, word]) => [code, c.reasonOf(+code, word)]);"
        "const may = Object.keys(told).filter(code => c.mayReconnect(Number(code)));"
        "console.log(JSON.stringify([Object.fromEntries(said), may.map(Number)]))"
    )
    command = [node, "--input-type=module", "-e", asks]
    reasons, may = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert reasons == {str(int(each)): each.word for each in Closing}
    assert may == [int(each) for each in Closing if each.reconnect]


@pytest.mark.parametrize("name", ["client", "inbox"])
def test_every_module_is_served_as_it_stands(server: Server, name):
    entrance = httpx.get(f"{server.url}/{name}.js", timeout=PATIENCE)
    assert entrance.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert f"./{name}/index.js" in entrance.text
    for module in (CLIENT.parent / name).glob("*.js"):
        answer = httpx.get(f"{server.url}/{name}/{module.name}", timeout=PATIENCE)
        assert answer.content == module.read_bytes()
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert httpx.get(f"{server.url}/{name}/package.json", timeout=PATIENCE).status_code == 404
    assert httpx.get(f"{server.url}/{name}/..%2F__init__.py", timeout=PATIENCE).status_code == 404


# --- with a real server ---------------------------------------------------------------------------


@pytest.fixture
def user() -> str:
    return fresh_user()


@pytest.fixture
def producer(server: Server) -> Producer:
    return server.producer()


def is_acknowledged(producer: Producer, notification: str) -> bool:
    outcome: str = producer.ledger(notification)["page"]["outcome"]
    return outcome == "acknowledged"


def test_each_push_is_told_once_and_acknowledged(server, producer, follow, user):
    with follow(server, user) as page:
        ids = [producer.post(user, title=f"no. {number}") for number in range(40)]
        assert [page.expect_push() for _ in ids] == [f"no. {number}" for number in range(40)]
        for each in ids[0], ids[-1]:
            wait_until(partial(is_acknowledged, producer, each))


def test_a_push_that_a_handler_refuses_comes_again_and_holds_up_nothing(
    server, producer, follow, user
):
    with follow(server, user, refuse="bad") as page:
        refused, good = producer.post(user, title="bad"), producer.post(user, title="good")
        assert page.expect_push() == "good"
        wait_until(partial(is_acknowledged, producer, good))
        assert producer.ledger(refused)["page"]["outcome"] == "pending"
        assert page.expect_push() == "bad"
        wait_until(partial(is_acknowledged, producer, refused))


def test_the_inbox_follows_posts_changes_and_marks(server, producer, follow, user):
    older = producer.post(user, title="older")
    with follow(server, user) as page:
        page.expect("inbox", lambda told: told["titles"] == ["older"])
        producer.post(user, title="newer")
        page.expect("inbox", lambda told: told["titles"] == ["newer", "older"])
        producer.update(older, title="changed")
        page.expect("inbox", lambda told: told["titles"] == ["newer", "changed"])
        page.ask("mark", "read", older)
        assert any(told.get("unread") == 1 for told in page.seen)
        producer.withdraw(older)
        page.expect("inbox", lambda told: told["titles"] == ["newer"])
        page.ask("markAll")
    inbox = httpx.get(
        f"{server.url}/v1/inbox", headers=bearer(token(user)), timeout=PATIENCE
    ).json()
    assert [each["state"] for each in inbox["notifications"]] == ["read"]


def test_through_a_killed_server_nothing_is_missed_or_told_twice(start_server, follow, user):
    own = start_server()
    producer = own.producer()
    with follow(own, user) as page:
        told = []
        for round_ in range(3):
            told += [producer.post(user, title=f"{round_}.{number}") for number in range(10)]
            own.kill()
            own.start()
        titles = [page.expect_push() for _ in told]
        assert titles == [f"{round_}.{number}" for round_ in range(3) for number in range(10)]


def test_another_connection_of_the_device_ends_it_for_good(server, follow, user):
    with follow(server, user) as page, server.device(user, "page"):
        stopped = page.expect("state", lambda told: told["phase"] == "stopped")
        assert stopped["reason"] == "replaced"


def test_signing_out_removes_the_device(server, follow, user):
    with follow(server, user) as page:
        page.ask("forget")
    devices = httpx.get(
        f"{server.url}/v1/me/devices", headers=bearer(token(user)), timeout=PATIENCE
    ).json()
    assert devices["devices"] == []
