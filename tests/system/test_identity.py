"""The identities of users, and the address that they come to, follow the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from servers.node import PATIENCE
from servers.tokens import bearer, token
from tests.server.test_shared_port import needs_ipv6
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

CLAIM = "https://example.org/user"


def alive(server: Server, host: str) -> bool:
    return (
        httpx.get(
            f"http://{host}:{server.port}/livez", trust_env=False, timeout=PATIENCE
        ).status_code
        == 200
    )


def test_the_claim_that_the_settings_name_holds_the_user(start_server: Callable[..., Server]):
    server = start_server(user_claim=CLAIM)
    ada = fresh_user("https://idp.example/users/Ädä")
    shop: dict[str, Any] = {"scope": "notify", CLAIM: "shop"}
    notification = server.producer(token("", **shop)).post(ada)

    person: dict[str, Any] = {CLAIM: ada}
    named = bearer(token("somebody else", **person))
    inbox = expect_json(server.http.get("/v1/inbox", headers=named))

    assert [each["id"] for each in inbox["notifications"]] == [notification]
    unnamed = server.http.get("/v1/inbox", headers=bearer(token(ada)))
    expect_problem(unnamed, 401, "token_claim_missing")


@pytest.mark.parametrize("name", ["scope", "scp"])
def test_scopes_come_as_text_or_as_a_list(server: Server, ada: str, name: str):
    def shop(said: Any) -> Producer:
        claims: dict[str, Any] = {"scope": "", name: said}
        return server.producer(token("shop", **claims))

    for said in ("openid notify", ["openid", "notify"]):
        shop(said).post(ada)
    expect_problem(shop([]).try_post(ada), 403)
    assert len(Person(server, ada).titles()) == 2


def test_several_addresses_are_listened_on(start_server: Callable[..., Server]):
    server = start_server(host="127.0.0.1,127.0.0.2")
    assert all(alive(server, host) for host in ("127.0.0.1", "127.0.0.2"))
    with pytest.raises(httpx.ConnectError):
        alive(server, "127.0.0.3")


@needs_ipv6
def test_the_address_of_both_families_is_both(start_server: Callable[..., Server]):
    server = start_server(host="::")
    assert all(alive(server, host) for host in ("127.0.0.1", "[::1]", "127.0.0.3"))


def test_workers_listen_on_several_addresses(
    start_server: Callable[..., Server], postgres_url: str, redis_url: str
):
    server = start_server(
        database=postgres_url,
        redis=redis_url,
        workers=2,
        host="127.0.0.1,127.0.0.2",
        drain_time=1,
    )
    assert all(alive(server, host) for host in ("127.0.0.1", "127.0.0.2"))


def test_a_page_of_an_app_is_told_that_it_may(start_server: Callable[..., Server], ada: str):
    app = "capacitor://localhost"
    server = start_server(origins=f"{app},chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb")
    for origin, told in [(app, app), ("ionic://localhost", None)]:
        answer = server.http.get("/v1/inbox", headers={**bearer(token(ada)), "Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == told
    with server.connect(ada, headers={"Origin": app}) as page:
        page.hello()
        page.expect_welcome()
