"""Dead letters, as operators see them: what did not arrive, replayed or let go."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, PRODUCER, bearer
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

LETTERS = "/v1/admin/dead-letters"


class Office:
    """An operator at *server*."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def ask(
        self, method: str, path: str = "", credential: str = ADMIN, **query: Any
    ) -> httpx.Response:
        return self._server.http.request(
            method, LETTERS + path, params=query, headers=bearer(credential)
        )

    def page(self, **query: Any):
        return expect_json(self.ask("GET", **query))

    def letters(self, **query: Any) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = self.page(**query)["dead_letters"]
        return letters

    def wait(self, **query: Any) -> dict[str, Any]:
        """The one dead letter that *query* finds, once there is one."""
        [letter] = wait_until(lambda: self.letters(**query), what="a dead letter")
        return letter

    def show(self, letter: dict[str, Any]):
        return expect_json(self.ask("GET", f"/{letter['id']}"))

    def replay(self, letter: dict[str, Any]) -> httpx.Response:
        return self.ask("POST", f"/{letter['id']}/replay")

    def discard(self, letter: dict[str, Any]) -> httpx.Response:
        return self.ask("DELETE", f"/{letter['id']}")


@pytest.fixture
def office(server: Server) -> Office:
    return Office(server)


@pytest.fixture
def expired(server: Server, office: Office, ada) -> dict[str, Any]:
    """The letter of a notification that expired before any device had it."""
    server.producer().post(ada, title="Too late", ttl=0.05)
    return office.wait(user=ada)


def test_a_notification_that_expired_before_any_device_had_it_is_a_dead_letter(
    server: Server, office: Office, expired, ada
):
    assert expired["user"] == ada
    assert expired["device"] is None
    assert (expired["cause"], expired["status"]) == ("expired", "dead")
    assert expired["attempts"] == 0
    assert expired["first_sent_at"] is None

    shown = office.show(expired)
    assert expired == {name: shown[name] for name in expired}
    assert shown["content"]["title"] == "Too late"
    assert shown["content"]["id"] == expired["notification"]
    assert [each["event"] for each in shown["history"]] == ["dead"]
    assert shown["history"][0]["at"] == expired["dead_at"]
    assert server.producer().view(expired["notification"])["state"] == "expired"


def test_a_push_given_up_for_a_device_is_a_dead_letter_and_can_be_replayed(hasty: Server, ada):
    office = Office(hasty)
    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()
        poison = hasty.producer().post(ada, title="Poison")
        for attempt in (1, 2, 3, 4, 5):
            push = phone.expect_push("Poison", attempt=attempt)
            phone.nack(push, reason="cannot show it", after=0)
        letter = office.wait(notification=poison)

    assert (letter["device"], letter["cause"]) == ("phone", "attempts")
    assert (letter["reason"], letter["attempts"]) == ("cannot show it", 5)
    assert [each["event"] for each in office.show(letter)["history"]] == ["sent", "dead"]

    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()
        assert expect_json(office.replay(letter)) == {"id": letter["id"], "status": "replayed"}
        push = phone.expect_push("Poison", attempt=1)
        phone.ack(push)
        producer = hasty.producer()
        wait_until(lambda: producer.ledger(poison)["phone"]["outcome"] == "acknowledged")
    shown = office.show(letter)
    assert shown["status"] == "replayed"
    assert [each["event"] for each in shown["history"]] == ["sent", "dead", "replayed"]


def test_an_expired_notification_lives_again_when_it_is_replayed(
    server: Server, office: Office, ada
):
    person = Person(server, ada)
    server.producer().post(ada, title="Late", ttl=1.5)
    letter = office.wait(user=ada)
    assert (person.titles(), person.counters()) == ([], (0, 0))

    expect_json(office.replay(letter))
    assert (person.titles(), person.counters()) == (["Late"], (1, 1))
    assert office.letters(user=ada) == []
    assert [each["id"] for each in office.letters(user=ada, status="replayed")] == [letter["id"]]
    expect_problem(office.replay(letter), 409, "conflict")


def test_a_revived_notification_expires_again_in_time(server: Server, office: Office, ada):
    server.producer().post(ada, title="Late", ttl=0.5)
    letter = office.wait(user=ada)
    expect_json(office.replay(letter))

    again = office.show(office.wait(user=ada))

    assert again["notification"] == letter["notification"]
    assert [each["event"] for each in again["history"]] == ["dead", "replayed", "dead"]


def test_a_withdrawn_notification_is_not_replayed(hasty: Server, ada):
    office = Office(hasty)
    producer = hasty.producer()
    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()
        poison = producer.post(ada)
        for _ in range(5):
            phone.nack(phone.expect_push(), after=0)
        letter = office.wait(notification=poison)
    producer.withdraw(poison)
    expect_problem(office.replay(letter), 409, "conflict")


def test_a_discarded_letter_is_settled(office: Office, expired, ada):
    for _ in range(2):
        answer = office.discard(expired)
        assert (answer.status_code, answer.content) == (204, b"")
    assert office.letters(user=ada) == []
    assert office.show(expired)["status"] == "discarded"
    expect_problem(office.replay(expired), 409, "conflict")


def test_letters_are_listed_in_pages_the_newest_first(server: Server, office: Office, ada):
    for _ in range(5):
        server.producer().post(ada, ttl=0.05)
    wait_until(lambda: len(office.letters(user=ada)) == 5, what="five dead letters")
    newest_first = [each["id"] for each in office.letters(user=ada)]
    assert newest_first == sorted(newest_first, reverse=True)

    first = office.page(user=ada, limit=2)
    second = office.page(user=ada, limit=2, before=first["next"])
    third = office.page(user=ada, limit=2, before=second["next"])
    pages = (first, second, third)
    assert [each["id"] for page in pages for each in page["dead_letters"]] == newest_first
    assert third["next"] is None


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "", {"limit": 0}, 422),
        ("GET", "", {"limit": 201}, 422),
        ("GET", "", {"before": "x"}, 422),
        ("GET", "", {"status": "alive"}, 422),
        ("GET", "", {"user": "a b"}, 422),
        ("GET", "", {"notification": "x"}, 422),
        ("GET", "", {"nonsense": "x"}, 422),
        ("GET", "/0", {}, 404),
        ("GET", "/x", {}, 404),
        ("GET", "/-1", {}, 404),
        ("GET", "/9007199254740992", {}, 404),
        ("GET", "/99999999999999999999", {}, 404),
        ("POST", "/9007199254740992/replay", {}, 404),
        ("DELETE", "/9007199254740992", {}, 404),
        ("GET", "/1/replay", {}, 405),
        ("PUT", "/1", {}, 405),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(office: Office, method, path, query, status):
    expect_problem(office.ask(method, path, **query), status)


def test_letters_are_for_operators(office: Office):
    user = fresh_user()
    for method, path in (("GET", ""), ("GET", "/1"), ("POST", "/1/replay"), ("DELETE", "/1")):
        expect_problem(office.ask(method, path, credential=PRODUCER), 403, "scope_missing")
    assert office.letters(user=user) == []
