"""A user's inbox over HTTP: nobody else's, newest first, in pages."""

from __future__ import annotations

import pytest

from servers.tokens import PRODUCER, bearer, token
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


class Inbox:
    """A user who reads."""

    def __init__(self, server: Server, user: str) -> None:
        self._server = server
        self._headers = bearer(token(user))

    def page(self, **query: object):
        params = {name: str(value) for name, value in query.items()}
        return expect_json(self._server.http.get("/v1/inbox", params=params, headers=self._headers))

    def refused(self, **query: str):
        return self._server.http.get("/v1/inbox", params=query, headers=self._headers)

    def one(self, notification: str):
        return self._server.http.get(f"/v1/inbox/{notification}", headers=self._headers)


@pytest.fixture
def inbox(server: Server, ada) -> Inbox:
    return Inbox(server, ada)


def titles(page) -> list[str]:
    return [each["title"] for each in page["notifications"]]


def test_an_inbox_without_anything_is_empty(inbox: Inbox):
    page = inbox.page()
    assert (page["notifications"], page["next"]) == ([], None)
    assert (page["unread"], page["unseen"]) == (0, 0)
    assert page["cursor"].endswith(".0")


def test_the_inbox_lists_the_newest_first_in_pages(inbox: Inbox, producer: Producer, ada):
    for number in range(7):
        producer.post(ada, title=str(number))

    first = inbox.page(limit=3)
    second = inbox.page(limit=3, before=first["next"])
    third = inbox.page(limit=3, before=second["next"])

    assert titles(first) == ["6", "5", "4"]
    assert titles(second) == ["3", "2", "1"]
    assert titles(third) == ["0"]
    assert third["next"] is None
    assert (first["unread"], first["unseen"]) == (7, 7)
    assert first["cursor"].endswith(".7")


def test_a_page_that_is_just_full_is_the_last(inbox: Inbox, producer: Producer, ada):
    for number in range(2):
        producer.post(ada, title=str(number))
    assert inbox.page(limit=2)["next"] is None


def test_the_inbox_filters_by_category_and_state(inbox: Inbox, producer: Producer, ada):
    producer.post(ada, title="news", category="news")
    producer.post(ada, title="chat", category="chat")
    producer.withdraw(producer.post(ada, title="withdrawn"))

    assert titles(inbox.page(category="news")) == ["news"]
    assert titles(inbox.page(category="none")) == []
    assert titles(inbox.page(state="unread")) == ["chat", "news"]
    assert titles(inbox.page(state="all")) == ["chat", "news"]
    assert titles(inbox.page(state="archived")) == []
    assert titles(inbox.page()) == ["chat", "news"]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "201"}, {"limit": "-1"}, {"limit": "x"}, {"limit": "1e3"},
     {"limit": "\u0663"}, {"limit": "9" * 5000}, {"before": "x"}, {"before": "-1"},
     {"before": "99999999999999999999"}, {"state": "none"}, {"state": ""}, {"nonsense": "1"}],
)  # fmt: skip
def test_a_question_that_cannot_be_read_is_refused(inbox: Inbox, query):
    problem = expect_problem(inbox.refused(**query), 422, "invalid")
    assert problem["errors"][0]["path"].startswith("?")


@pytest.mark.parametrize("category", ["\x00", "x" * 10_000, "\u00e4", "' OR 1=1 --", "%", "\ud7ff"])
def test_a_category_that_nothing_can_have_finds_nothing(inbox: Inbox, category):
    answer = inbox.refused(category=category)
    if answer.status_code == 200:
        assert answer.json()["notifications"] == []
    else:
        expect_problem(answer, 422, "invalid")


@pytest.mark.parametrize("query", ["category=%00", "category=%ff", "category=%ed%a0%80", "%00=1"])
def test_bytes_that_are_no_text_are_no_question(server: Server, ada, query):
    answer = server.http.get(f"/v1/inbox?{query}", headers=bearer(token(ada)))
    assert answer.status_code in {200, 400, 422}, answer.text


def test_one_notification_as_its_user_sees_it(inbox: Inbox, producer: Producer, ada):
    notification = producer.post(ada, title="Hello", url="https://example.org/")
    read = expect_json(inbox.one(notification))
    assert (read["id"], read["title"], read["state"]) == (notification, "Hello", "unseen")


def test_a_notification_of_another_user_is_not_found(server: Server, producer: Producer, ada):
    notification = producer.post(ada)
    eve = Inbox(server, fresh_user("eve"))

    expect_problem(eve.one(notification), 404, "not_found")
    assert eve.page()["notifications"] == []


@pytest.mark.parametrize("notification", ["nonsense", "0197f0a8-0000-7000-8000-000000000000"])
def test_a_notification_that_does_not_exist_is_not_found(inbox: Inbox, notification):
    expect_problem(inbox.one(notification), 404, "not_found")


def test_a_users_token_alone_neither_posts_nor_operates(server: Server, producer: Producer, ada):
    notification = producer.post(ada)
    user = server.producer(token(ada))
    path = f"/v1/notifications/{notification}"
    for answer in (
        user.try_post(ada),
        user.request("GET", path),
        user.request("GET", f"{path}/deliveries"),
        user.request("PATCH", path, json={"title": "mine"}),
        user.request("DELETE", path),
        user.request("GET", "/metrics"),
        user.request("GET", "/v1/admin/actors"),
        user.request("POST", f"/v1/admin/users/{ada}/disconnect"),
    ):
        expect_problem(answer, 403, "scope_missing")


def test_a_producers_scope_does_not_operate(server: Server):
    expect_problem(server.http.get("/v1/admin/actors", headers=bearer(PRODUCER)), 403)


def test_a_page_is_bounded_in_bytes_and_the_next_goes_on(start_server, ada):
    server = start_server(outbound_bytes_max=400_000)
    posted = [server.producer().post(ada, data="x" * 30_000) for _ in range(8)]
    inbox = Inbox(server, ada)
    pages = [inbox.page(limit=200)]
    while (following := pages[-1]["next"]) is not None:
        pages.append(inbox.page(limit=200, before=following))
    assert {len(page["notifications"]) for page in pages} == {3, 2}
    found = [each["id"] for page in pages for each in page["notifications"]]
    assert found == posted[::-1]
