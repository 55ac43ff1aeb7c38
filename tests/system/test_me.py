"""A user's own settings: preferences, topics, devices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

PREFERENCES = "/v1/me/preferences"
SUBSCRIPTIONS = "/v1/me/subscriptions"
DEVICES = "/v1/me/devices"


@pytest.fixture
def person(server: Server, ada) -> Person:
    return Person(server, ada)


def prefer(person: Person, **preferences: object):
    return expect_json(person.request("PUT", PREFERENCES, json=preferences))


def no_content(answer) -> None:
    assert (answer.status_code, answer.content) == (204, b""), answer.text


def post_to(producer: Producer, topic: str, title: str, **fields: object) -> str:
    draft = {"to": {"topic": topic}, "title": title, **fields}
    answer = expect_json(producer.request("POST", "/v1/notifications", json=draft), 201)
    notification: str = answer["id"]
    return notification


# --- Preferences ----------------------------------------------------------------------------------


def test_at_first_nothing_is_said(person: Person):
    assert person.get(PREFERENCES) == {"categories": {}, "topics": {}}


def test_preferences_are_replaced_whole(person: Person):
    first = {"categories": {"chat": False, "news": True}, "topics": {"t": False}}
    assert prefer(person, **first) == first
    assert person.get(PREFERENCES) == first
    assert prefer(person, categories={"chat": True}) == {"categories": {"chat": True}, "topics": {}}
    assert prefer(person) == {"categories": {}, "topics": {}}


def test_a_muted_category_does_not_come_unless_it_is_critical(person: Person, producer: Producer):
    producer.post(person.user, title="before", category="chat")
    prefer(person, categories={"chat": False})
    producer.post(person.user, title="muted", category="chat")
    producer.post(person.user, title="critical", category="chat", priority="critical")
    producer.post(person.user, title="other", category="news")
    assert person.titles() == ["other", "critical", "before"]

    prefer(person, categories={"chat": True})
    producer.post(person.user, title="after", category="chat")
    assert person.titles() == ["after", "other", "critical", "before"]


@pytest.mark.parametrize(
    "preferences",
    [
        {"categories": {"CHAT": False}},
        {"categories": {"": False}},
        {"topics": {"a b": False}},
        {"topics": {"*": False}},
        {"categories": {"chat": "no"}},
        {"categories": {"chat": None}},
        {"categories": []},
        {"categories": {f"c{number}": False for number in range(1001)}},
        {"nonsense": {}},
    ],
)
def test_preferences_that_mean_nothing_are_refused(person: Person, preferences):
    expect_problem(person.request("PUT", PREFERENCES, json=preferences), 422, "invalid")
    assert person.get(PREFERENCES) == {"categories": {}, "topics": {}}


def test_a_thousand_preferences_are_kept(person: Person):
    many = {f"c{number:04}": bool(number % 2) for number in range(1000)}
    assert prefer(person, categories=many)["categories"] == many


# --- Topics ---------------------------------------------------------------------------------------


def test_a_user_subscribes_and_leaves(person: Person, producer: Producer):
    first, second = sorted(fresh_user("topic") for _ in range(2))
    for _ in range(2):
        no_content(person.request("PUT", f"{SUBSCRIPTIONS}/{second}"))
    no_content(person.request("PUT", f"{SUBSCRIPTIONS}/{first}"))
    prefer(person, topics={second: False, "elsewhere": True})

    assert person.get(SUBSCRIPTIONS) == {
        "subscriptions": [
            {"topic": first, "enabled": True},
            {"topic": second, "enabled": False},
        ]
    }
    post_to(producer, first, "heard")
    post_to(producer, second, "muted")
    post_to(producer, second, "critical", priority="critical")
    assert person.titles() == ["critical", "heard"]

    for _ in range(2):
        no_content(person.request("DELETE", f"{SUBSCRIPTIONS}/{first}"))
    post_to(producer, first, "too late")
    assert [each["topic"] for each in person.get(SUBSCRIPTIONS)["subscriptions"]] == [second]
    assert person.titles() == ["critical", "heard"]


@pytest.mark.parametrize("body", ['{"enabled":false}', "[]", "null"])
def test_a_body_that_would_mean_nothing_is_refused(person: Person, body):
    wrong = person.request("PUT", f"{SUBSCRIPTIONS}/news", content=body)
    expect_problem(wrong, 422, "invalid")
    assert person.get(SUBSCRIPTIONS) == {"subscriptions": []}


@pytest.mark.parametrize("body", ["", "{}"])
def test_an_empty_body_is_none(person: Person, body):
    no_content(person.request("PUT", f"{SUBSCRIPTIONS}/news", content=body))


def test_a_user_can_be_in_too_many_topics(server: Server, producer: Producer, person: Person):
    topics = [fresh_user("topic") for _ in range(1000)]
    paths = [f"{SUBSCRIPTIONS}/{topic}" for topic in topics]
    with ThreadPoolExecutor(8) as threads:  # side by side, they share transactions
        for answer in threads.map(lambda path: person.request("PUT", path), paths):
            no_content(answer)
    one_more = fresh_user("topic")
    expect_problem(person.request("PUT", f"{SUBSCRIPTIONS}/{one_more}"), 409, "conflict")
    no_content(person.request("PUT", f"{SUBSCRIPTIONS}/{topics[0]}"))

    path = f"/v1/topics/{one_more}/subscribers"
    expect_problem(producer.request("PUT", f"{path}/{person.user}"), 409, "conflict")
    other = fresh_user()
    answer = producer.request("POST", path, json={"users": [person.user, other]})
    assert expect_json(answer) == {"added": 1, "refused": [person.user]}


@pytest.mark.parametrize("topic", ["*", "a%20b", "x" * 129])
def test_a_text_that_can_be_no_topic_is_not_found(person: Person, topic):
    expect_problem(person.request("PUT", f"{SUBSCRIPTIONS}/{topic}"), 404, "not_found")


# --- Devices --------------------------------------------------------------------------------------


def test_devices_are_listed_with_what_they_have_acknowledged(
    server: Server, producer: Producer, person: Person
):
    assert person.get(DEVICES) == {"devices": [], "next": None}
    with server.device(person.user, "tablet") as tablet, server.device(person.user, "phone"):
        tablet.expect_synced()
        producer.post(person.user)
        tablet.ack(tablet.expect_push())
        tablet.expect_nothing_before_pong()
    with server.device(person.user, "tablet") as tablet:
        cursor = tablet.welcome["cursor"]
        phone, listed = person.get(DEVICES)["devices"]

    assert (phone["device"], listed["device"]) == ("phone", "tablet")
    assert listed["cursor"] == cursor == person.page()["cursor"]
    assert phone["cursor"].endswith(".0")
    assert listed["last_seen"].endswith("Z")


def test_a_removed_device_is_disconnected_and_forgotten(
    server: Server, producer: Producer, person: Person
):
    with server.device(person.user, "tablet") as tablet, server.device(person.user, "phone") as it:
        tablet.expect_synced()
        it.expect_synced()
        no_content(person.request("DELETE", f"{DEVICES}/tablet"))
        tablet.expect("goodbye", code=4410, reason="disconnected", reconnect=False)
        assert [each["device"] for each in person.get(DEVICES)["devices"]] == ["phone"]
        producer.post(person.user, title="still here")
        it.expect_push("still here")


def test_a_device_that_is_not_there_is_not_found(server: Server, person: Person):
    eve = Person(server, fresh_user("eve"))
    with server.device(person.user, "phone"):
        expect_problem(eve.request("DELETE", f"{DEVICES}/phone"), 404, "not_found")
        expect_problem(person.request("DELETE", f"{DEVICES}/a%20b"), 404, "not_found")
        no_content(person.request("DELETE", f"{DEVICES}/phone"))
        expect_problem(person.request("DELETE", f"{DEVICES}/phone"), 404, "not_found")
