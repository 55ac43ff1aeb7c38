"""Pages of other origins: those that the operator names may use the API."""

from __future__ import annotations

import pytest

from servers.tokens import bearer, token
from tests.system.server_kit import Server

APP = "https://app.example.com"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory):
    server = Server(tmp_path_factory.mktemp("open"), {"origins": APP})
    try:
        yield server.start()
    finally:
        server.close()


def test_a_page_of_a_named_origin_may_read_answers(open_server: Server):
    headers = {**bearer(token("ada")), "Origin": APP}
    answer = open_server.http.get("/v1/inbox", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    shown = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Retry-After", "RateLimit", "RateLimit-Policy"} <= shown
    assert "Origin" in answer.headers["Vary"]
    refused = open_server.http.get("/v1/inbox", headers={"Origin": APP})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == APP, "a page is told why"


def test_a_page_of_a_named_origin_may_follow_the_stream(open_server: Server):
    headers = {**bearer(token("ada")), "Origin": APP}
    with open_server.http.stream("GET", "/v1/inbox/stream", headers=headers) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert answer.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_a_browser_that_asks_first_is_told_that_it_may(open_server: Server, method):
    answer = open_server.http.options(
        "/v1/me/preferences",
        headers={
            "Origin": APP,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", f"{APP}.evil.com"])
def test_other_pages_are_shown_nothing(open_server: Server, origin):
    headers = {**bearer(token("ada")), "Origin": origin}
    answer = open_server.http.get("/v1/inbox", headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = open_server.http.options(
        "/v1/inbox", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )
    assert "Access-Control-Allow-Origin" not in preflight.headers
