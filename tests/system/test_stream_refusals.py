"""Any status but 200 ends a native EventSource for good, so what will pass is said on a stream."""

from __future__ import annotations

import signal

import httpx

from servers.node import PATIENCE, wait_until
from servers.proxy import Proxy
from servers.tokens import bearer, token
from tests.system.plain_http_kit import Event, stream
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server

PATH = "/v1/inbox/stream"


def goodbye_of(
    server: Server, code: int, headers: dict[str, str] | None = None, ticket: str = ""
) -> Event:
    """The goodbye that the whole stream consists of."""
    query = {"ticket": ticket} if ticket else {}
    with stream(server, headers=headers, **query) as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-store"
        assert events.response.headers["X-Accel-Buffering"] == "no"
        assert events.response.headers["X-Request-Id"]
        assert "Retry-After" not in events.response.headers
        [event] = list(events)
    assert (event.name, event.data["code"], event.data["reconnect"]) == ("goodbye", code, True)
    assert event.data["detail"]
    assert event.retry is not None
    assert event.retry == round(event.data["after"] * 1000)
    assert 1000 <= event.retry <= 10_000
    return event


def test_a_store_that_is_away_ends_no_eventsource(start_server, postgres, ada):
    with Proxy(postgres.create_database()) as network:
        server: Server = start_server(database=network.url, store_timeout="2s")
        asked = {"for": "stream"}
        issued = server.http.post("/v1/tickets", json=asked, headers=bearer(token(ada)))
        ticket = expect_json(issued, 201)["ticket"]
        network.cut()
        wait_until(lambda: server.http.get("/readyz").status_code == 503)

        # The node cannot tell whether the ticket is one, so it does not say that it is not.
        goodbye_of(server, 4006, ticket=ticket)
        # Nor where a device that acknowledges has stopped, though the token is known to be good.
        headers = {"Last-Event-ID": "0", **bearer(token(ada))}
        for how in ("resume", "explicit"):
            with stream(server, headers=headers, device="web", ack=how) as events:
                assert events.expect_goodbye(4006).data["reconnect"]
        # Refusals that will not pass are told as always.
        expect_problem(server.http.get(PATH), 401)
        expect_problem(server.http.get(PATH, headers=bearer("nonsense")), 401)
        bad = server.http.get(f"{PATH}?cursor=what", headers=bearer(token(ada)))
        expect_problem(bad, 422, "invalid")
        # And everything else is: this is for streams only.
        answer = server.http.get("/v1/inbox/changes", headers=bearer(token(ada)))
        expect_problem(answer, 503, "store_unavailable")

        network.heal()
        wait_until(lambda: server.http.get("/readyz").status_code == 200)
        with stream(server, ticket=ticket) as events:
            events.expect_live()
        server.close()


def test_a_server_that_stops_ends_no_eventsource(start_server, ada):
    server: Server = start_server(drain_time="20s", drain_notice="5s")
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.http.get("/readyz").status_code == 503)

    goodbye_of(server, 4000, bearer(token(ada)))
    expect_problem(server.http.get(PATH), 401)
    expect_problem(server.http.get("/v1/inbox/changes", headers=bearer(token(ada))), 503)


def test_a_page_of_another_origin_hears_it_as_well(start_server, postgres, ada):
    app = "https://app.example"
    with Proxy(postgres.create_database()) as network:
        server: Server = start_server(database=network.url, origins=app)
        network.cut()
        wait_until(lambda: server.http.get("/readyz").status_code == 503)
        answer = httpx.get(
            f"{server.url}{PATH}?ticket=tt_{'a' * 52}",
            headers={"Origin": app},
            verify=False,
            timeout=PATIENCE,
        )
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == app
        server.close()
