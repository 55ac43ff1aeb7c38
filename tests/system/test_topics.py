"""Topics over HTTP: who is in them, and who gets what is published to them."""

from __future__ import annotations

import pytest

from servers.tokens import token
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


class TopicDesk:
    """A topic that no other test has, as its producer sees it."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.name = fresh_user("topic")
        self.path = f"/v1/topics/{self.name}/subscribers"

    def put(self, user: str) -> None:
        answer = self.producer.request("PUT", f"{self.path}/{user}")
        assert (answer.status_code, answer.content) == (204, b"")

    def delete(self, user: str) -> None:
        answer = self.producer.request("DELETE", f"{self.path}/{user}")
        assert (answer.status_code, answer.content) == (204, b"")

    def add(self, *users: str):
        return expect_json(self.producer.request("POST", self.path, json={"users": list(users)}))

    def page(self, **query: object):
        return expect_json(self.producer.request("GET", self.path, params=query))

    @property
    def subscribers(self) -> list[str]:
        subscribers: list[str] = self.page()["subscribers"]
        return subscribers

    def publish(self, title: str, **fields: object):
        draft = {"to": {"topic": self.name}, "title": title, **fields}
        return expect_json(self.producer.request("POST", "/v1/notifications", json=draft), 201)


@pytest.fixture
def topic(producer: Producer) -> TopicDesk:
    return TopicDesk(producer)


@pytest.fixture
def person(server: Server, ada) -> Person:
    return Person(server, ada)


def test_a_topic_that_nobody_is_in_has_no_subscribers(topic: TopicDesk):
    assert topic.page() == {"subscribers": [], "next": None}
    assert topic.publish("to nobody")["recipients"] == 0


def test_subscribers_come_and_go_and_again_is_no_error(topic: TopicDesk, ada):
    for _ in range(2):
        topic.put(ada)
        assert topic.subscribers == [ada]
    for _ in range(2):
        topic.delete(ada)
        assert topic.subscribers == []


def test_many_are_added_at_once(topic: TopicDesk):
    users = sorted(fresh_user() for _ in range(1000))
    topic.put(users[0])
    assert topic.add(*users) == {"added": 999, "refused": []}
    assert topic.add(*users[:10], *users[:10]) == {"added": 0, "refused": []}

    first = topic.page(limit=400)
    second = topic.page(limit=400, after=first["next"])
    third = topic.page(limit=400, after=second["next"])
    assert third["next"] is None
    assert first["subscribers"] + second["subscribers"] + third["subscribers"] == users


def test_subscribers_get_what_comes_after_they_subscribed(
    topic: TopicDesk, producer: Producer, person: Person
):
    topic.publish("before")
    topic.put(person.user)
    published = topic.publish("after")
    assert published["recipients"] == 1

    page = person.page()
    assert [each["title"] for each in page["notifications"]] == ["after"]
    assert page["notifications"][0]["topic"] == topic.name
    assert (page["unread"], page["unseen"]) == (1, 1)
    view = producer.view(published["id"])
    assert (view["topic"], view["counts"]["recipients"]) == (topic.name, 1)

    topic.delete(person.user)
    topic.publish("too late")
    assert person.titles() == ["after"]


def test_one_that_nobody_has_looked_for_is_found_by_its_id(topic: TopicDesk, person: Person):
    topic.put(person.user)
    published = topic.publish("fresh")
    assert person.one(published["id"])["title"] == "fresh"


def test_one_that_nobody_has_looked_for_can_be_marked(topic: TopicDesk, person: Person):
    topic.put(person.user)
    published = topic.publish("fresh")
    assert person.mark("read", ids=[published["id"]])["changed"] == 1
    topic.publish("fresher")
    assert person.mark("read", all=True)["changed"] == 1


def test_an_inbox_with_much_to_bring_shows_all_of_it(topic: TopicDesk, person: Person):
    topic.put(person.user)
    items = [{"to": {"topic": topic.name}, "title": str(number)} for number in range(1000)]
    for _ in range(3):
        answer = topic.producer.request("POST", "/v1/notifications/batch", json=items)
        assert {each["status"] for each in expect_json(answer)["results"]} == {201}
    assert person.counters() == (3000, 3000)


def test_to_all_is_for_everybody_who_is_known(producer: Producer, server: Server):
    known, unknown = (Person(server, fresh_user()) for _ in range(2))
    producer.post(known.user, title="hello")
    title = fresh_user("to-all")
    draft = {"to": {"all": True}, "title": title}
    published = expect_json(producer.request("POST", "/v1/notifications", json=draft), 201)
    try:
        assert known.titles() == [title, "hello"]
        assert title not in unknown.titles()
        assert published["recipients"] >= 1
    finally:
        producer.withdraw(published["id"])
    assert known.titles() == ["hello"]


@pytest.mark.parametrize(
    "to",
    [
        {},
        {"all": False},
        {"all": True, "topic": "x"},
        {"topic": "x", "users": ["ada"]},
        {"topic": "*"},
        {"topic": ""},
        {"topic": "a b"},
        {"users": []},
        {"users": [f"user-{number}" for number in range(1001)]},
    ],
)
def test_an_unclear_addressee_is_refused(producer: Producer, to):
    answer = producer.request("POST", "/v1/notifications", json={"to": to, "title": "x"})
    problem = expect_problem(answer, 422, "invalid")
    assert problem["errors"][0]["path"].startswith("$.to")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/topics/a%20b/subscribers", 404),
        ("GET", "/v1/topics/*/subscribers", 404),
        ("PUT", "/v1/topics/news/subscribers/a%20b", 404),
        ("PUT", f"/v1/topics/news/subscribers/{'x' * 256}", 404),
        ("POST", "/v1/topics/news/subscribers/ada", 405),
        ("PATCH", "/v1/topics/news/subscribers", 405),
        ("GET", "/v1/topics/news/subscribers?limit=1001", 422),
        ("GET", "/v1/topics/news/subscribers?after=a%20b", 422),
        ("PUT", "/v1/topics/news/subscribers/ada?x=1", 422),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(producer: Producer, method, path, status):
    expect_problem(producer.request(method, path), status)


@pytest.mark.parametrize(
    "users", [[], ["a b"], ["*", ""], [f"user-{number}" for number in range(1001)], None, "ada"]
)
def test_subscribers_that_nobody_can_be_are_refused(topic: TopicDesk, users):
    answer = topic.producer.request("POST", topic.path, json={"users": users})
    expect_problem(answer, 422, "invalid")
    assert topic.subscribers == []


def test_topics_are_for_producers(server: Server, ada, topic: TopicDesk):
    user = server.producer(token(ada))
    for method, path in (("GET", topic.path), ("PUT", f"{topic.path}/{ada}")):
        expect_problem(user.request(method, path), 403, "scope_missing")


def test_only_producers_put_users_into_a_closed_topic(server: Server, topic: TopicDesk, ada):
    path = f"/v1/topics/{topic.name}"
    show = topic.producer.request
    assert expect_json(show("GET", path)) == {
        "topic": topic.name,
        "closed": False,
        "subscribers": 0,
    }
    person = Person(server, ada)
    mine = f"/v1/me/subscriptions/{topic.name}"
    assert person.request("PUT", mine).status_code == 204
    closed = {"topic": topic.name, "closed": True, "subscribers": 1}
    assert expect_json(show("PUT", path, json={"closed": True})) == closed

    # Its subscribers stay, and may leave; and then only a producer brings them back.
    topic.publish("to Ada")
    assert person.titles() == ["to Ada"]
    assert person.request("DELETE", mine).status_code == 204
    expect_problem(person.request("PUT", mine), 403, "topic_closed")
    topic.put(ada)
    assert expect_json(show("GET", path)) == closed
    expect_json(show("PUT", path, json={"closed": False}))
    assert person.request("PUT", mine).status_code == 204


def test_users_do_not_say_who_enters_a_topic(server: Server, topic: TopicDesk, ada):
    person = Person(server, ada)
    for method, body in (("GET", None), ("PUT", {"closed": False})):
        answer = person.request(method, f"/v1/topics/{topic.name}", json=body)
        expect_problem(answer, 403)
    for wrong in ({}, {"closed": "yes"}, {"closed": True, "open": False}):
        answer = topic.producer.request("PUT", f"/v1/topics/{topic.name}", json=wrong)
        expect_problem(answer, 422, "invalid")
