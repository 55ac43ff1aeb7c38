"""The content of a notification is kept as it is, or refused with place and reason."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


def post(producer: Producer, content: bytes, **headers: str) -> httpx.Response:
    return producer.request("POST", "/v1/notifications", content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"nonsense", b'{"to":', b"\x00", b"\xff\xfe", b'{"title":"\xff"}', b"NaN",
     b'{"to":{"users":["a"]},"title":"x"}}', b'{"to":{"users":["a"]},"title":"x"} x',
     b'{"title":"\xed\xa0\x80"}', b'{"title":"\\ud800"}', b'{"title":"a\nb"}',
     b"\xef\xbb\xbf{}", b'{"data":' * 100_000, b'{"title":"' + b"\\" * 99_999,
     b'{"data":-Infinity}'],
)  # fmt: skip
def test_a_body_that_is_no_json_is_malformed(producer: Producer, content):
    problem = expect_problem(post(producer, content), 400, "malformed")
    assert len(json.dumps(problem)) < 1000


GOOD = {"to": {"users": ["ada"]}, "title": "Hello"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "text",
        7,
        [GOOD],
        {**GOOD, "title": None},
        {**GOOD, "title": 7},
        {**GOOD, "title": ""},
        {**GOOD, "title": "x" * 257},
        {**GOOD, "body": "x" * 4097},
        {**GOOD, "body": ["x"]},
        {**GOOD, "url": ""},
        {**GOOD, "url": "x" * 3000},
        {**GOOD, "titel": "typing error"},
        {**GOOD, "to": {"users": ["ada"], "user": "x"}},
        {**GOOD, "to": {"users": "ada"}},
        {**GOOD, "to": {"users": []}},
        {**GOOD, "to": {"users": [""]}},
        {**GOOD, "to": {"users": [None]}},
        {**GOOD, "to": {"users": [{}]}},
        {**GOOD, "to": {"users": ["a b"]}},
        {**GOOD, "to": {"users": ["ada\n"]}},
        {**GOOD, "to": {"users": ["a\u0000"]}},
        {**GOOD, "to": {"users": ["\u200bada"]}},
        {**GOOD, "to": {"users": ["x" * 256]}},
        {**GOOD, "to": {"users": [f"user-{number}" for number in range(1001)]}},
        {**GOOD, "to": {"users": {"0": "ada"}}},
        {**GOOD, "to": []},
        {**GOOD, "to": None},
        {**GOOD, "category": "News"},
        {**GOOD, "category": "a\n"},
        {**GOOD, "category": ""},
        {**GOOD, "category": "x" * 65},
        {**GOOD, "priority": "urgent"},
        {**GOOD, "data": "x" * 32 * 1024},
        {**GOOD, "ttl": 0},
        {**GOOD, "ttl": -1},
        {**GOOD, "ttl": 1e300},
        {**GOOD, "ttl": "60"},
        {**GOOD, "expires_at": "2001-01-01T00:00:00Z"},
        {**GOOD, "expires_at": "2999-01-01T00:00:00"},
        {**GOOD, "expires_at": "tomorrow"},
        {**GOOD, "expires_at": 4_000_000_000},
        {**GOOD, "expires_at": "2999-13-41T00:00:00Z"},
        {**GOOD, "expires_at": "9999-12-31T23:59:59-23:59"},
        {**GOOD, "ttl": 5, "expires_at": "2999-01-01T00:00:00Z"},
        {**GOOD, "id": "0197f0a8-0000-7000-8000-000000000000"},
        {**GOOD, "__proto__": {}},
    ],
)
def test_a_wrong_field_is_named_with_its_place(producer: Producer, body):
    answer = post(producer, json.dumps(body).encode())
    problem = expect_problem(answer, 422, "invalid")
    assert problem["errors"][0]["path"].startswith("$")
    assert len(answer.content) < 2000


@pytest.mark.parametrize("path", ["$.to.users[3]", "$.title"])
def test_an_error_names_the_place(producer: Producer, path):
    body = {"to": {"users": ["a", "b", "c", "d d" if "users" in path else "d"]}, "title": ""}
    if "users" in path:
        body["title"] = "x"
    problem = expect_problem(producer.request("POST", "/v1/notifications", json=body), 422)
    assert problem["errors"][0]["path"] == path


@pytest.mark.parametrize(
    "title",
    ["\u0000", "a\u0000b", "\u0001\u001f\u007f\u009f", "\r\n\t", "\u202e\u2066evil", "\ufeff",
     "\uffff\ufffe", "\U0001f4a3" * 256, "\U0010ffff", '"\\/', "</script>", "' OR 1=1; --", "%s{}",
     "$1 ?1 :a @b", "\u0301" * 256],
)  # fmt: skip
def test_any_text_is_kept_as_it_is(server: Server, producer: Producer, ada, title):
    notification = producer.post(ada, title=title, body=title, data={title: [title]}, url=title)

    assert producer.view(notification)["title"] == title
    with server.device(ada, "phone", cursor="0") as phone:
        push = phone.expect_push(title)["notification"]
        assert (push["body"], push["data"], push["url"]) == (title, {title: [title]}, title)
    changed = producer.update(notification, title=title[::-1])
    assert changed["title"] == title[::-1]


@pytest.mark.parametrize(
    "data",
    [0, -1, 1.5, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**4000, 1e-320, 1e308, True, None, "",
     [], {}, {"": ""}, [[[[]]]], {"a": {"a": {}}}],
    ids=lambda data: repr(data)[:20],
)  # fmt: skip
def test_any_data_either_comes_back_or_is_refused(server: Server, producer, ada, data):
    answer = producer.try_post(ada, data=data)
    if answer.status_code != 201:
        expect_problem(answer, 422, "invalid") if answer.status_code == 422 else expect_problem(
            answer, 400, "malformed"
        )
        return
    notification = answer.json()["id"]
    assert producer.view(notification)["data"] == data
    assert producer.update(notification, title="changed")["data"] == data
    with server.device(ada, "phone", cursor="0") as phone:
        assert phone.expect_push("changed")["notification"]["data"] == data


@pytest.mark.parametrize("depth", [10, 100, 400, 500, 600, 700, 800, 900, 950, 980, 1000, 2000])
def test_nesting_is_either_carried_or_refused(server: Server, producer: Producer, ada, depth):
    """A body that one part of the server can read, all of them can."""
    content = b'{"to":{"users":["%s"]},"title":"deep","data":%s%s}' % (
        ada.encode(),
        b"[" * depth,
        b"]" * depth,
    )
    answer = post(producer, content)
    if answer.status_code != 201:
        assert answer.status_code in {400, 422}, answer.text
        expect_problem(answer, answer.status_code)
        return
    notification = answer.json()["id"]
    path = f"/v1/notifications/{notification}"
    assert producer.request("GET", path).status_code == 200
    assert producer.request("PATCH", path, json={"title": "still deep"}).status_code == 200
    assert server.producer().request("GET", f"{path}/deliveries").status_code == 200
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("still deep")


def test_duplicate_recipients_count_once(server: Server, producer: Producer, ada):
    answer = producer.try_post(ada, ada, ada, title="once")
    assert expect_json(answer, 201)["recipients"] == 1
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("once")
        phone.expect_synced()
        phone.expect_nothing_before_pong()


def test_a_thousand_recipients_are_the_most(producer: Producer):
    users = [fresh_user() for _ in range(1000)]
    assert expect_json(producer.try_post(*users), 201)["recipients"] == 1000
    expect_problem(producer.try_post(*users, "one-more"), 422, "invalid")


@pytest.mark.parametrize(
    "patch",
    [{}, {"to": {"users": ["eve"]}}, {"title": None}, {"title": ""}, {"revision": 9}, {"id": "x"},
     {"state": "read"}, {"expires_at": "2001-01-01T00:00:00Z"}, {"data": "x" * 40_000}, [], None,
     {"ttl": 5}, {"category": None}],
)  # fmt: skip
def test_a_change_that_cannot_be_made_is_refused(producer: Producer, ada, patch):
    notification = producer.post(ada)
    path = f"/v1/notifications/{notification}"
    answer = producer.request("PATCH", path, content=json.dumps(patch).encode())
    expect_problem(answer, 422, "invalid")
    assert producer.view(notification)["revision"] == 1


@pytest.mark.parametrize(
    "value", ["", "1", 'W/"2"', '""', '"x"', '"01"', '"7", "2"', '"-1"', "x" * 4000, '",' * 2000]
)
def test_an_if_match_that_is_not_what_we_have_is_no_match(producer: Producer, ada, value):
    path = f"/v1/notifications/{producer.post(ada)}"
    answer = producer.request("PATCH", path, json={"title": "x"}, headers={"If-Match": value})
    expect_problem(answer, 412, "revision_mismatch")


@pytest.mark.parametrize("value", ["*", '"1"', 'W/"1"', '"7", W/"1"', 'nonsense, "1"'])
def test_an_if_match_that_names_what_we_have_is_a_match(producer: Producer, ada, value):
    path = f"/v1/notifications/{producer.post(ada)}"
    answer = producer.request("PATCH", path, json={"title": "x"}, headers={"If-Match": value})
    assert expect_json(answer)["revision"] == 2


@pytest.mark.parametrize("number", [b"9" * 10_000, b"1e99999", b"-1e400", b"0." + b"1" * 10_000])
def test_a_number_beyond_all_numbers_is_no_fault_of_ours(producer: Producer, ada, number):
    content = b'{"to":{"users":["%s"]},"title":"x","data":%s}' % (ada.encode(), number)
    assert post(producer, content).status_code in {201, 422}
