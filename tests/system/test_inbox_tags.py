"""`GET /v1/inbox` for those who have the page already."""

from __future__ import annotations

import pytest

from tests.system.person_kit import Person
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user


@pytest.fixture
def person(server: Server, ada, producer: Producer) -> Person:
    producer.post(ada, title="Hello")
    return Person(server, ada)


def ask(person: Person, tag: str | None = None, **query: str):
    headers = {} if tag is None else {"If-None-Match": tag}
    return person.request("GET", "/v1/inbox", params=query, headers=headers)


def test_a_page_that_has_not_changed_is_not_sent_again(person: Person):
    first = ask(person)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert first.headers["Cache-Control"] == "private, no-cache"

    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = ask(person, given)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "private, no-cache"
    assert ask(person, '"other"').json() == first.json()


def test_every_change_of_the_page_changes_its_tag(person: Person, producer: Producer):
    tags = [ask(person).headers["ETag"]]
    changes = [
        lambda: producer.post(person.user, title="News"),
        lambda: person.mark("seen", all=True),
        lambda: person.mark("read", all=True),
        lambda: producer.update(person.page()["notifications"][0]["id"], title="Newer"),
        lambda: person.mark("archived", all=True),
    ]
    for change in changes:
        change()
        answer = ask(person, tags[-1])
        assert answer.status_code == 200
        tags.append(answer.headers["ETag"])
    assert len(set(tags)) == len(tags)


def test_other_questions_and_other_people_have_other_tags(server: Server, person: Person):
    tag = ask(person).headers["ETag"]
    assert ask(person, tag, state="archived").status_code == 200
    assert ask(Person(server, fresh_user()), tag).status_code == 200


def test_a_notification_through_a_topic_changes_the_tag(person: Person, producer: Producer):
    topic = fresh_user("topic")
    person.request("PUT", f"/v1/me/subscriptions/{topic}")
    tag = ask(person).headers["ETag"]
    draft = {"to": {"topic": topic}, "title": "Through a topic"}
    producer.request("POST", "/v1/notifications", json=draft)
    answer = ask(person, tag)
    assert answer.status_code == 200
    assert answer.json()["notifications"][0]["title"] == "Through a topic"
