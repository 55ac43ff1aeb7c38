"""Marking what is in the inbox: over HTTP and over a socket, by ids, through a cursor, and all."""

from __future__ import annotations

import pytest

from tests.system.device_kit import Device, Frame
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


@pytest.fixture
def person(server: Server, ada) -> Person:
    return Person(server, ada)


@pytest.fixture
def posted(producer: Producer, ada) -> list[str]:
    """Three notifications: one, two and three."""
    return [producer.post(ada, title=title) for title in ("one", "two", "three")]


def test_marking_by_id_changes_states_and_counters(person: Person, posted):
    marked = person.mark("read", ids=posted[:2])

    assert (marked["changed"], marked["unread"], marked["unseen"]) == (2, 1, 1)
    assert marked["cursor"].endswith(".5")
    assert marked["cursor"] == person.page()["cursor"]
    assert person.states() == {"one": "read", "two": "read", "three": "unseen"}
    one = person.one(posted[0])
    assert one["read_at"] == one["seen_at"] is not None


def test_marking_again_changes_nothing(person: Person, posted):
    first = person.mark("seen", ids=posted[:1])
    again = person.mark("seen", ids=[posted[0], posted[0]])
    assert again == first | {"changed": 0}


def test_unread_brings_back(person: Person, posted):
    person.mark("read", ids=posted)
    person.mark("archived", ids=posted[:1])
    marked = person.mark("unread", ids=posted[:2])
    assert (marked["changed"], marked["unread"], marked["unseen"]) == (2, 2, 0)
    assert person.states() == {"one": "seen", "two": "seen", "three": "read"}


def test_marking_all(person: Person, posted):
    marked = person.mark("archived", all=True)
    assert (marked["changed"], marked["unread"], marked["unseen"]) == (3, 0, 0)
    assert person.titles() == []
    assert person.titles(state="archived") == ["three", "two", "one"]


def test_marking_through_a_cursor_leaves_what_is_newer(producer: Producer, person: Person, posted):
    cursor = person.page()["cursor"]
    producer.post(person.user, title="four")
    marked = person.mark("read", through=cursor)
    assert (marked["changed"], marked["unread"]) == (3, 1)
    assert person.states()["four"] == "unseen"


def test_marking_through_the_beginning_marks_nothing(person: Person, posted):
    assert person.mark("read", through="0")["changed"] == 0


def test_a_long_inbox_is_marked_whole(producer: Producer, person: Person):
    for _ in range(5):
        items = [{"to": {"users": [person.user]}, "title": "Hello"}] * 1000
        expect_json(producer.request("POST", "/v1/notifications/batch", json=items))
    assert person.counters() == (5000, 5000)
    marked = person.mark("read", all=True)
    assert (marked["changed"], marked["unread"], marked["unseen"]) == (5000, 0, 0)
    assert person.counters() == (0, 0)


def test_a_notification_of_another_user_is_passed_over(server: Server, person: Person, posted):
    eve = Person(server, fresh_user("eve"))
    assert eve.mark("archived", ids=posted)["changed"] == 0
    assert eve.mark("archived", ids=["0197f0a8-0000-7000-8000-000000000000"])["changed"] == 0
    assert person.counters() == (3, 3)


@pytest.mark.parametrize(
    "which",
    [
        {},
        {"ids": []},
        {"ids": ["nonsense"]},
        {"ids": ["0197f0a8-0000-7000-8000-000000000000"] * 501},
        {"ids": ["0197f0a8-0000-7000-8000-000000000000"], "all": True},
        {"all": False},
        {"all": True, "through": "0"},
        {"through": ""},
        {"through": "nonsense"},
        {"through": "elsewhere.1"},
        {"through": "1"},
        {"all": True, "nonsense": 1},
    ],
)
def test_a_request_without_notifications_to_mark_is_refused(person: Person, posted, which):
    problem = expect_problem(person.try_mark("read", **which), 422, "invalid")
    assert problem["errors"]
    assert person.counters() == (3, 3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b'{"state":"read","all":true}x', 400, "malformed"),
        (b'{"state":' + b"[" * 30_000, 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
    ],
)
def test_a_text_that_is_no_mark_is_refused(person: Person, posted, body, status, code):
    answer = person.request("POST", "/v1/inbox/mark", content=body)
    expect_problem(answer, status, code)
    assert person.counters() == (3, 3)


@pytest.mark.parametrize("state", ["unseen", "withdrawn", "", None, 1])
def test_other_states_are_no_marks(person: Person, posted, state):
    expect_problem(person.try_mark(state, all=True), 422, "invalid")


def test_a_cursor_in_the_future_is_refused(person: Person, posted):
    epoch = person.page()["cursor"].partition(".")[0]
    problem = expect_problem(person.try_mark("read", through=f"{epoch}.4"), 422, "invalid")
    assert problem["errors"][0]["path"] == "$.through"
    assert person.counters() == (3, 3)


def test_a_mark_shows_on_every_device(server: Server, producer: Producer, person: Person, posted):
    with server.device(person.user, "tablet", cursor="0") as tablet:
        pushes = tablet.expect_pushes("one", "two", "three")
        tablet.ack(*pushes)
        tablet.expect_synced()
        person.mark("read", ids=posted[1:2])
        push = tablet.expect_push("two", change="state", unread=2, unseen=2)
        assert push["notification"]["state"] == "read"


# --- The frame ------------------------------------------------------------------------------------


def mark(device: Device, state: str, *, request: str | int = 1, **which: object):
    """Send a mark and hear its reply, whatever is pushed in the meantime."""
    device.send("mark", request=request, state=state, **which)
    while True:
        frame = device.receive()
        if frame["type"] == "reply":
            assert frame["request"] == request
            return frame


@pytest.fixture
def tablet(server: Server, ada, posted):
    with server.device(ada, "tablet") as tablet:
        yield tablet


def test_a_frame_marks_as_a_post_does(tablet: Device, person: Person, posted):
    reply = mark(tablet, "read", ids=posted[:1], request="r-1")
    assert reply["ok"] is True
    assert (reply["result"]["changed"], reply["result"]["unread"]) == (1, 2)
    assert reply["result"]["cursor"] == person.page()["cursor"]
    assert mark(tablet, "archived", all=True)["result"]["changed"] == 3
    assert person.counters() == (0, 0)


@pytest.mark.parametrize(
    "which",
    [
        {},
        {"ids": ["nonsense"]},
        {"ids": ["0197f0a8-0000-7000-8000-000000000000"], "all": True},
        {"through": "nonsense"},
        {"through": "elsewhere.1"},
    ],
)
def test_the_fault_of_a_frame_is_its_reply(tablet: Device, person: Person, which):
    reply = mark(tablet, "read", **which)
    assert (reply["ok"], reply["problem"]["status"], reply["problem"]["code"]) == (
        *(False, 422, "invalid"),
    )
    assert mark(tablet, "seen", all=True)["result"]["changed"] == 3
    assert person.counters() == (3, 0)


def test_many_marks_at_once_are_all_answered(tablet: Device, posted):
    for number in range(100):
        tablet.send("mark", request=number, state="seen", ids=posted[:1])
    replies: dict[int, Frame] = {}
    while len(replies) < 100:
        frame = tablet.receive()
        if frame["type"] == "reply":
            replies[frame["request"]] = frame
    refused = [each for each in replies.values() if not each["ok"]]
    assert all(each["problem"]["code"] == "rate_limited" for each in refused)
    assert sum(each["result"]["changed"] for each in replies.values() if each["ok"]) == 1
