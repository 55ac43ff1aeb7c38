"""Producers who post for later, and with collapse keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from servers.node import wait_until
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_problem
from tests.system.server_kit import Server, fresh_user


def after(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def person(server: Server, ada) -> Person:
    return Person(server, ada)


def test_a_post_for_later_comes_later(server: Server, producer: Producer, person: Person):
    with server.device(person.user, "phone") as phone:
        phone.expect_synced()
        answer = producer.try_post(person.user, title="Later", deliver_at=after(1))
        published = answer.json()
        assert (answer.status_code, published["state"]) == (201, "scheduled")
        assert published["recipients"] == 1
        assert producer.view(published["id"])["state"] == "scheduled"
        assert person.titles() == []

        phone.ack(phone.expect_push("Later"))
    assert producer.view(published["id"])["state"] == "active"
    assert person.titles() == ["Later"]


def test_a_notification_withdrawn_before_its_time_never_comes(producer: Producer, person: Person):
    withdrawn = producer.try_post(person.user, title="Never", deliver_at=after(0.5)).json()["id"]
    other = producer.try_post(person.user, title="Later", deliver_at=after(0.6)).json()["id"]
    producer.withdraw(withdrawn)
    wait_until(lambda: producer.view(other)["state"] == "active")
    assert person.titles() == ["Later"]
    assert producer.view(withdrawn)["state"] == "withdrawn"


def test_a_time_that_has_passed_means_now(producer: Producer, person: Person):
    answer = producer.try_post(person.user, title="Now", deliver_at="2001-01-01T00:00:00Z")
    assert answer.json()["state"] == "active"
    assert person.titles() == ["Now"]


def test_a_repeated_post_for_later_gets_the_first_answer(producer: Producer, person: Person):
    headers = {"Idempotency-Key": fresh_user("key")}
    fields = {"title": "Later", "deliver_at": after(3600)}
    first = producer.try_post(person.user, headers=headers, **fields)
    again = producer.try_post(person.user, headers=headers, **fields)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    "fields",
    [
        {"deliver_at": "tomorrow"},
        {"deliver_at": "2001-01-01T00:00:00"},
        {"deliver_at": "9999-12-31T23:59:59-12:00"},
        {"deliver_at": "2100-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"},
        {"collapse_key": ""},
        {"collapse_key": "two words"},
        {"collapse_key": "x" * 256},
    ],
)
def test_times_and_keys_that_cannot_be_are_refused(producer: Producer, person: Person, fields):
    problem = expect_problem(producer.try_post(person.user, **fields), 422, "invalid")
    assert problem["errors"][0]["path"].startswith("$.")


def test_a_later_one_with_the_same_key_replaces_the_earlier(producer: Producer, person: Person):
    first = producer.try_post(person.user, title="1 new", collapse_key="count")
    later = producer.try_post(person.user, title="2 new", collapse_key="count")

    assert later.json()["id"] == first.json()["id"]
    assert later.headers["Location"] == first.headers["Location"]
    assert person.titles() == ["2 new"]
    assert person.counters() == (1, 1)
    assert producer.view(first.json()["id"])["revision"] == 2
