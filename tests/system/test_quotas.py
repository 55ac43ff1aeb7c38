"""The quotas of a user for devices and tickets, and the end of one too many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servers.tokens import bearer, token
from tests.system.person_kit import Person
from tests.system.plain_http_kit import stream
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server

DEVICES, TICKETS = 3, 4
Start = Callable[..., Server]


@pytest.fixture
def server(start_server: Start) -> Server:
    return start_server(user_devices_known_max=DEVICES, user_tickets_max=TICKETS)


def come(server: Server, user: str, *names: str) -> None:
    for name in names:
        with server.device(user, name) as device:
            device.expect("synced")


def names_of(person: Person, **query: object) -> list[str]:
    return [each["device"] for each in person.get("/v1/me/devices", **query)["devices"]]


def test_one_device_too_many_is_refused_on_every_transport_until_one_is_removed(server, ada):
    person = Person(server, ada)
    come(server, ada, "phone", "tablet", "watch")
    poll = {"device": "fridge"}

    with server.connect(ada) as one_too_many:
        one_too_many.hello("fridge")
        one_too_many.expect_goodbye(4411)
    answer = person.request("GET", "/v1/inbox/changes", params=poll)
    problem = expect_problem(answer, 409, "conflict")
    assert "DELETE /v1/me/devices/" in problem["detail"]
    with stream(server, ada, device="fridge") as events:
        assert events.expect_goodbye(4411).retry == 3_600_000
    assert names_of(person) == ["phone", "tablet", "watch"]

    # A known device comes in, and so does one without a name.
    come(server, ada, "watch")
    with server.device(ada, None) as unnamed:
        unnamed.expect("synced")
    assert person.request("DELETE", "/v1/me/devices/watch").status_code == 204
    expect_json(person.request("GET", "/v1/inbox/changes", params=poll))
    assert "fridge" in names_of(person)


def test_a_client_that_invents_names_leaves_no_more_of_them(server, ada):
    person = Person(server, ada)
    for number in range(10):
        person.request("GET", "/v1/inbox/changes", params={"device": f"new-{number}"})
    assert names_of(person) == ["new-0", "new-1", "new-2"]


def test_devices_are_listed_page_by_page(server, ada):
    person = Person(server, ada)
    come(server, ada, "c", "a", "b")
    first = person.get("/v1/me/devices", limit=2)
    assert ([each["device"] for each in first["devices"]], first["next"]) == (["a", "b"], "b")
    last = person.get("/v1/me/devices", limit=2, after=first["next"])
    assert ([each["device"] for each in last["devices"]], last["next"]) == (["c"], None)
    for wrong in ({"limit": 0}, {"limit": 1001}, {"after": "no name"}):
        expect_problem(person.request("GET", "/v1/me/devices", params=wrong), 422, "invalid")


def test_one_ticket_too_many_is_refused_until_one_is_used(server, ada):
    person = Person(server, ada)
    tickets = [
        expect_json(person.request("POST", "/v1/tickets"), 201)["ticket"] for _ in range(TICKETS)
    ]
    refused = person.request("POST", "/v1/tickets")
    expect_problem(refused, 409, "conflict")
    assert float(refused.headers["Retry-After"]) > 0

    with server.connect(query=f"?ticket={tickets[0]}") as device:
        device.hello()
        device.expect_welcome()
    expect_json(person.request("POST", "/v1/tickets"), 201)


def test_a_ticket_does_not_post_although_its_token_does(server, ada):
    mighty = bearer(token(ada, "notify admin"))
    ticket = expect_json(server.http.post("/v1/tickets", headers=mighty), 201)["ticket"]
    with server.connect(query=f"?ticket={ticket}") as device:
        device.hello()
        device.expect_welcome()
        device.expect("synced")
        draft = {"to": {"users": [ada]}, "title": "Hello"}
        reply = device.publish("r", draft)
        assert (reply["ok"], reply["problem"]["code"]) == (False, "forbidden")
