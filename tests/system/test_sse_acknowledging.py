"""Acknowledging what came as an event: by coming back, or explicitly."""

from __future__ import annotations

import pytest

from servers.node import wait_until
from tests.system.plain_http_kit import acknowledge, stream
from tests.system.producer_kit import expect_problem


def test_an_explicit_stream_is_sent_again_what_it_does_not_acknowledge(hasty, ada):
    producer = hasty.producer()
    with stream(hasty, ada, device="web", ack="explicit") as events:
        events.expect_live()
        producer.post(ada, title="1")
        events.expect_push("1", attempt=1)
        push = events.expect_push("1", attempt=2)
        cursor = str(push.id)
        assert acknowledge(hasty, ada, device="web", cursor=cursor).status_code == 204
        notification = producer.post(ada, title="2")
        wait_until(lambda: next(iter(events)).data["notification"]["title"] == "2")
        assert acknowledge(hasty, ada, device="web", ids=[notification]).status_code == 204
        assert producer.ledger(notification)["web"]["outcome"] == "acknowledged"


def test_an_explicit_stream_does_not_acknowledge_by_coming_back(server, producer, ada):
    with stream(server, ada, device="web", ack="explicit") as events:
        events.expect_live()
        for title in "123":
            producer.post(ada, title=title)
            events.expect_push(title)
            if title == "1":
                cursor = str(events.last_id)
        assert acknowledge(server, ada, device="web", cursor=cursor).status_code == 204
        last = {"Last-Event-ID": str(events.last_id)}
    with stream(server, ada, device="web", ack="explicit", headers=last) as events:
        events.expect("welcome", cursor=cursor, resumed=True)
        events.expect_push("2", attempt=2)
        events.expect_push("3", attempt=2)
    # An id before what was acknowledged says that the rest was lost.
    with stream(server, ada, device="web", ack="explicit", headers={"Last-Event-ID": cursor}) as it:
        it.expect("welcome", cursor=cursor)
    # And of a device that nobody knows, the id is all that is known.
    with stream(server, ada, device="other", ack="explicit", headers=last) as events:
        events.expect("welcome", cursor=last["Last-Event-ID"])


def test_an_explicit_stream_that_does_not_acknowledge_is_unresponsive(hasty, ada):
    with stream(hasty, ada, device="web", ack="explicit") as events:
        events.expect_live()
        hasty.producer().post(ada)
        goodbye = events.expect_goodbye(4002)
        assert goodbye.retry
        assert goodbye.data["reconnect"] is True


def test_a_push_acknowledged_while_away_is_not_sent_again(server, producer, ada):
    with stream(server, ada, device="web") as events:
        events.expect_live()
        first = producer.post(ada, title="1")
        events.expect_push("1")
        producer.post(ada, title="2")
        events.expect_push("2")
    assert acknowledge(server, ada, device="web", ids=[first]).status_code == 204
    assert producer.ledger(first)["web"]["outcome"] == "acknowledged"
    with stream(server, ada, device="web") as events:
        events.expect("welcome")
        events.expect_push("2", attempt=2)
        events.expect("synced")


@pytest.mark.parametrize(
    "body",
    [
        {"device": "web"},
        {"device": "web", "cursor": "0", "ids": ["x"]},
        {"device": "web", "ids": ["not an id"]},
        {"device": "web", "ids": []},
        {"device": "web", "cursor": "what?"},
        {"device": "web", "cursor": "other.1"},
        {"device": "no device", "cursor": "0"},
        {"cursor": "0"},
        {"device": "web", "cursor": "0", "sequence": 1},
    ],
    ids=str,
)
def test_an_acknowledgment_that_makes_no_sense_is_refused(server, ada, body):
    with stream(server, ada, device="web") as events:
        events.expect_live()
    expect_problem(acknowledge(server, ada, **body), 422, "invalid")


def test_an_acknowledgment_beyond_the_log_is_refused(server, ada):
    with stream(server, ada, device="web") as events:
        epoch = events.expect("welcome").data["epoch"]
    expect_problem(acknowledge(server, ada, device="web", cursor=f"{epoch}.9"), 422, "invalid")


def test_a_device_that_nobody_knows_cannot_acknowledge(server, ada):
    expect_problem(acknowledge(server, ada, device="web", cursor="0"), 404, "not_found")
