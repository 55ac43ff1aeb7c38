"""Every route refuses each kind of client that may not call it."""

from __future__ import annotations

import pytest

from servers.tokens import ADMIN, PRODUCER, bearer, token
from tests.system.producer_kit import expect_problem
from tests.system.server_kit import Server
from tests.system.test_producing import create_key

# Nothing here depends on the store.
pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")

ID = "0197f0a8-0000-7000-8000-000000000000"
USERS = [
    ("POST", "/v1/tickets"),
    ("GET", "/v1/inbox"),
    ("GET", f"/v1/inbox/{ID}"),
    ("POST", "/v1/inbox/mark"),
    ("POST", "/v1/inbox/ack"),
    ("GET", "/v1/inbox/changes"),
    ("GET", "/v1/inbox/stream"),
    ("GET", "/v1/me/preferences"),
    ("PUT", "/v1/me/preferences"),
    ("GET", "/v1/me/subscriptions"),
    ("PUT", "/v1/me/subscriptions/news"),
    ("DELETE", "/v1/me/subscriptions/news"),
    ("GET", "/v1/me/devices"),
    ("DELETE", "/v1/me/devices/phone"),
]
PRODUCERS = [
    ("POST", "/v1/notifications"),
    ("POST", "/v1/notifications/batch"),
    ("GET", f"/v1/notifications/{ID}"),
    ("PATCH", f"/v1/notifications/{ID}"),
    ("DELETE", f"/v1/notifications/{ID}"),
    ("GET", f"/v1/notifications/{ID}/deliveries"),
    ("GET", "/v1/topics/news/subscribers"),
    ("POST", "/v1/topics/news/subscribers"),
    ("PUT", "/v1/topics/news/subscribers/ada"),
    ("DELETE", "/v1/topics/news/subscribers/ada"),
]
OPERATORS = [
    ("GET", "/metrics"),
    ("GET", "/v1/admin/actors"),
    ("POST", "/v1/admin/users/ada/disconnect"),
    ("GET", "/v1/admin/dead-letters"),
    ("GET", "/v1/admin/dead-letters/1"),
    ("POST", "/v1/admin/dead-letters/1/replay"),
    ("DELETE", "/v1/admin/dead-letters/1"),
]


@pytest.fixture(scope="module")
def api_key(server: Server) -> str:
    return create_key(server, "notify,admin")


@pytest.mark.parametrize(("method", "path"), [*USERS, *PRODUCERS, *OPERATORS])
def test_a_request_without_a_credential_is_not_let_in(server: Server, method, path):
    answer = server.http.request(method, path)
    expect_problem(answer, 401, "token_missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), USERS)
def test_an_api_key_has_no_inbox(server: Server, api_key, method, path):
    expect_problem(server.http.request(method, path, headers=bearer(api_key)), 403, "user_missing")


@pytest.mark.parametrize(("method", "path"), PRODUCERS)
@pytest.mark.parametrize("credential", [token("ada"), ADMIN], ids=["user", "operator"])
def test_only_producers_publish(server: Server, credential, method, path):
    answer = server.http.request(method, path, headers=bearer(credential))
    expect_problem(answer, 403, "scope_missing")
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope", scope="notify"')


@pytest.mark.parametrize(("method", "path"), OPERATORS)
@pytest.mark.parametrize("credential", [token("ada"), PRODUCER], ids=["user", "producer"])
def test_only_operators_operate(server: Server, credential, method, path):
    answer = server.http.request(method, path, headers=bearer(credential))
    expect_problem(answer, 403, "scope_missing")


def test_an_api_keys_socket_has_nothing_to_mark(server: Server, api_key):
    with server.connect(headers=bearer(api_key)) as socket:
        socket.hello(None)
        socket.expect_welcome()
        socket.send("mark", request=1, state="read", all=True)
        reply = socket.expect("reply", request=1, ok=False)
        assert (reply["problem"]["status"], reply["problem"]["code"]) == (403, "forbidden")
