"""How a WebSocket opens: the welcome, subprotocols, origins, and the path."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.system.server_kit import Server


def test_the_welcome_tells_all_that_a_client_needs(server: Server, ada):
    with server.device(ada, "phone", window=7, client="acceptance 1.0") as phone:
        expected = {
            *("type", "user", "device", "connection", "node", "epoch", "cursor", "head"),
            *("unread", "unseen", "resumed", "heartbeat", "window", "resend"),
        }
        assert phone.welcome.keys() == expected
        assert phone.welcome["resend"] == {"delay": 10.0, "limit": 5}
        assert phone.welcome["window"] == 7


def test_our_subprotocol_is_spoken_if_it_is_offered(server: Server, ada):
    offered = [Subprotocol("other.v9"), Subprotocol("tocsin.v1.json")]
    with server.connect(ada, subprotocols=offered) as phone:
        assert phone.socket.subprotocol == "tocsin.v1.json"
    with server.connect(ada) as phone:
        assert phone.socket.subprotocol is None


def expect_handshake_problem(server: Server, status: int, **options: Any) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        server.connect(**options)
    response = refusal.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers.get("X-Request-Id")
    assert b'"code"' in (response.body or b"")
    assert b'"about:blank"' not in (response.body or b"")


def test_other_subprotocols_are_refused(server: Server, ada):
    expect_handshake_problem(server, 400, user=ada, subprotocols=[Subprotocol("other.v9")])


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "file://", "garbage",
     "http://127.0.0.1", "http://evil@127.0.0.1:1", ""],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(server: Server, ada, origin):
    expect_handshake_problem(server, 403, user=ada, headers={"Origin": origin})


def test_pages_of_our_own_origin_may_come(server: Server, ada):
    with server.connect(ada, headers={"Origin": server.url}) as phone:
        phone.hello()
        phone.expect_welcome()


def test_pages_of_named_origins_may_come(start_server, ada):
    server = start_server(origins="https://app.example,http://localhost:3000")
    for origin in ("https://app.example", "http://localhost:3000"):
        with server.connect(ada, headers={"Origin": origin}) as phone:
            phone.hello()
            phone.expect_welcome()
    for origin in ("http://app.example", "https://app.example:444", "https://app.example.evil"):
        expect_handshake_problem(server, 403, user=ada, headers={"Origin": origin})


def test_websockets_are_served_at_their_path_only(server: Server, ada):
    expect_handshake_problem(server, 404, user=ada, query="/elsewhere")
