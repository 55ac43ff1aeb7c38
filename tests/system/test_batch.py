"""Batches: many notifications in one request, each on its own."""

from __future__ import annotations

import json
import threading

import pytest

from servers.node import wait_until
from servers.tokens import token
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server, fresh_user
from tests.system.test_bad_requests import head

BATCH = "/v1/notifications/batch"
NDJSON = "application/x-ndjson"


def draft(*users: str, title: str = "Hello", **fields: object) -> dict[str, object]:
    return {"to": {"users": list(users)}, "title": title, **fields}


def lines(*items: object) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def send(producer: Producer, content: object, *, key: str | None = None):
    """Post as NDJSON if *content* is text, as an array if it is a list."""
    headers = {"Content-Type": NDJSON if isinstance(content, str) else "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = content if isinstance(content, str) else json.dumps(content)
    return producer.request("POST", BATCH, content=body.encode(), headers=headers)


def results(producer: Producer, content: object, **options: str):
    return expect_json(send(producer, content, **options))["results"]


@pytest.fixture(params=["array", "ndjson"])
def batch(request, producer: Producer):
    """Posts a batch in each of the two forms; the results."""

    def batch(*items: object, **options: str):
        return results(
            producer, list(items) if request.param == "array" else lines(*items), **options
        )

    return batch


@pytest.fixture
def person(server: Server, ada) -> Person:
    return Person(server, ada)


def test_a_batch_is_published_in_order(batch, person: Person):
    read = batch(*(draft(person.user, title=str(number)) for number in range(600)))

    assert [each["status"] for each in read] == [201] * 600
    newest = person.page(limit=200)["notifications"]
    assert [each["id"] for each in newest] == [each["id"] for each in reversed(read)][:200]


def test_bad_items_have_their_problem_and_touch_no_other(batch, person: Person):
    ada = person.user
    read = batch(
        draft(ada, title="one"),
        draft(ada, title=""),
        draft(ada, title="two"),
        draft(),
        draft(ada, title="three"),
        draft(*(f"user-{number}" for number in range(1001))),
        draft(ada, title="four", expires_at="2001-01-01T00:00:00Z"),
        draft(ada, titel="five"),
    )
    assert [each["status"] for each in read] == [201, 422, 201, 422, 201, 422, 422, 422]
    assert [each.get("problem", {}).get("code") for each in read] == [
        *(None, "invalid", None, "invalid", None, "invalid", "invalid", "invalid")
    ]
    assert read[1]["problem"]["errors"][0]["path"] == "$.title"
    assert person.titles() == ["three", "two", "one"]


def test_an_item_with_a_key_is_published_once(batch, person: Person):
    item = draft(person.user, idempotency_key=fresh_user("key"))
    [first] = batch(item)
    [again] = batch(item)
    [other] = batch({**item, "title": "Something else"})

    assert again == {"status": 201, "id": first["id"], "replayed": True}
    assert (other["status"], other["problem"]["code"]) == (422, "idempotency_key_reused")
    assert len(person.titles()) == 1


def test_a_key_means_the_same_in_a_batch_and_alone(batch, producer: Producer, person: Person):
    key = fresh_user("key")
    alone = producer.try_post(person.user, headers={"Idempotency-Key": key}).json()["id"]
    [again] = batch(draft(person.user, idempotency_key=key))
    assert again == {"status": 201, "id": alone, "replayed": True}


def test_the_same_key_twice_in_one_batch_is_one_notification(batch, person: Person):
    item = draft(person.user, idempotency_key=fresh_user("key"))
    first, again = batch(item, item)
    assert again == {"status": 201, "id": first["id"], "replayed": True}
    assert len(person.titles()) == 1


def test_a_batch_with_a_key_can_be_repeated(batch, person: Person):
    items = [draft(person.user, title=str(number)) for number in range(5)]
    key = fresh_user("key")
    first = batch(*items, key=key)
    again = batch(*items, key=key)

    assert [each["id"] for each in again] == [each["id"] for each in first]
    assert all(each["replayed"] for each in again)
    assert len(person.titles()) == 5


def test_the_answer_to_a_repeated_batch_says_that_it_was_given_before(
    producer: Producer, person: Person
):
    items = [draft(person.user), {"to": "nobody"}, draft(person.user)]
    key = fresh_user("key")

    first = send(producer, items, key=key)
    again = send(producer, items, key=key)
    with_one_more = send(producer, [*items, draft(person.user)], key=key)
    nothing_new = send(producer, items[1:2], key=fresh_user("key"))

    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (first, with_one_more, nothing_new):
        assert "Idempotency-Replayed" not in other.headers


def test_the_key_of_a_batch_is_that_of_each_item(producer: Producer, person: Person):
    key = fresh_user("key")
    own = fresh_user("own")
    items = [draft(person.user), draft(person.user, idempotency_key=own), draft(person.user)]
    ids = [each["id"] for each in results(producer, items, key=key)]

    for name, expected in ((f"{key}#0", ids[0]), (own, ids[1]), (f"{key}#2", ids[2])):
        alone = producer.try_post(person.user, headers={"Idempotency-Key": name})
        assert (alone.json()["id"], alone.headers["Idempotency-Replayed"]) == (expected, "true")


@pytest.mark.parametrize("key", ["two words", "", "x" * 254])
def test_a_key_that_cannot_be_used_refuses_the_whole(producer: Producer, person: Person, key):
    expect_problem(send(producer, [draft(person.user)], key=key), 422, "invalid")
    assert person.titles() == []


def test_more_than_a_thousand_are_refused_before_anything_is_stored(
    producer: Producer, person: Person
):
    items = [draft(person.user)] * 1001
    expect_problem(send(producer, items), 413, "too_large")
    expect_problem(send(producer, lines(*items)), 413, "too_large")
    assert person.titles() == []


def test_far_too_many_lines_are_told_so_while_they_still_come(producer: Producer, person: Person):
    line = lines(draft(person.user, body="x" * 4000))
    expect_problem(send(producer, line * 4000), 413, "too_large")
    assert person.titles() == []


@pytest.mark.parametrize("content", [[], "", "\n\n", {"to": {}}, 1, None])
def test_a_body_that_is_no_batch_is_refused(producer: Producer, content):
    expect_problem(send(producer, content), 422, "invalid")


def test_a_broken_array_is_refused_whole(producer: Producer, person: Person):
    body = json.dumps([draft(person.user)])[:-1]
    answer = producer.request(
        "POST", BATCH, content=body, headers={"Content-Type": "application/json"}
    )
    expect_problem(answer, 400, "malformed")
    assert person.titles() == []


@pytest.mark.parametrize("media", ["text/plain", "application/xml"])
def test_other_formats_are_refused(producer: Producer, media):
    answer = producer.request("POST", BATCH, content=b"[]", headers={"Content-Type": media})
    expect_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", ""])
def test_a_body_without_a_media_type_is_json(producer: Producer, person: Person, media):
    headers = {"Content-Type": media} if media else {}
    body = json.dumps([draft(person.user, title="as curl -d does it")])
    answer = producer.request("POST", BATCH, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert person.titles() == ["as curl -d does it"]


def test_a_batch_needs_the_scope(server: Server, ada):
    user = server.producer(token(ada))
    expect_problem(send(user, [draft(ada)]), 403, "scope_missing")


def test_a_line_that_ends_in_the_middle_is_that_items_problem(producer: Producer, person: Person):
    content = lines(draft(person.user, title="whole")) + json.dumps(draft(person.user))[:-7]
    whole, cut = results(producer, content)
    assert whole["status"] == 201
    assert (cut["status"], cut["problem"]["code"]) == (400, "malformed")
    assert person.titles() == ["whole"]


def test_a_connection_that_ends_in_the_middle_publishes_nothing(
    server: Server, producer: Producer, person: Person
):
    body = lines(*[draft(person.user)] * 10).encode()
    for cut in (len(body) // 2, len(body) - 1):
        with Wire(server) as wire:
            wire.send(
                head("POST", BATCH, f"Content-Type: {NDJSON}", f"Content-Length: {len(body)}")
                + body[:cut]
            )
    producer.post(person.user, title="after")
    assert person.titles() == ["after"]


def test_lines_that_come_slowly_are_read_as_they_come(server: Server, person: Person):
    body = lines(*(draft(person.user, title=str(number)) for number in range(3))).encode()
    with Wire(server) as wire:
        wire.send(head("POST", BATCH, f"Content-Type: {NDJSON}", "Transfer-Encoding: chunked"))
        for start in range(0, len(body), 10):
            piece = body[start : start + 10]
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        assert wire.read_answer()[0] == 200
    assert person.titles() == ["2", "1", "0"]


def test_a_batch_is_larger_than_other_bodies_may_be(producer: Producer, person: Person):
    items = [draft(person.user, title=str(number), data="x" * 30_000) for number in range(100)]
    assert [each["status"] for each in results(producer, items)] == [201] * 100
    long = draft(person.user, data="x" * (1 << 20))
    [refused] = results(producer, [long])
    assert (refused["status"], refused["problem"]["code"]) == (413, "too_large")


def test_a_body_of_zeros_is_counted_without_being_kept(server: Server, producer: Producer):
    before = server.process.memory_info().rss
    content = b"[" + b"0," * ((8 << 20) - 2) + b"0]"
    headers = {"Content-Type": "application/json"}
    expect_problem(
        producer.request("POST", BATCH, content=content, headers=headers), 413, "too_large"
    )
    assert server.process.memory_info().rss - before < 150 << 20


def test_batches_at_once_share_the_store(server: Server, ada):
    people = [Person(server, fresh_user()) for _ in range(4)]
    read: list[list[int]] = []

    def post(person: Person) -> None:
        items = [draft(person.user, title=str(number)) for number in range(500)]
        own = Server.producer(server)
        read.append([each["status"] for each in results(own, items)])

    threads = [threading.Thread(target=post, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(read) == 4, what="all batches to be answered")
    assert read == [[201] * 500] * 4
    for person in people:
        assert person.counters() == (500, 500)
