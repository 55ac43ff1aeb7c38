"""Changes and withdrawals, to a device that may have had the notification already or not."""

from __future__ import annotations

import pytest

from servers.node import wait_until
from servers.tokens import PRODUCER, bearer
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user


@pytest.mark.parametrize("change", ["updated", "withdrawn"])
def test_a_change_is_pushed_and_takes_the_place_of_what_was_not_acknowledged(
    phone: Device, producer: Producer, ada, change
):
    notification = producer.post(ada, title="Draft")
    created = phone.expect_push("Draft", change="created")

    if change == "updated":
        producer.update(notification, title="Final")
    else:
        producer.withdraw(notification)

    push = phone.expect_push(change=change)
    assert push["previous"] == created["sequence"]
    assert push["notification"]["revision"] == (2 if change == "updated" else 1)
    if change == "withdrawn":
        assert push["notification"]["state"] == "withdrawn"
        assert (push["unread"], push["unseen"]) == (0, 0)
    phone.ack(push)
    wait_until(lambda: producer.ledger(notification)["phone"]["acknowledged_at"])


def test_a_notification_that_changes_all_the_time_fills_no_window(server, producer, ada):
    with server.device(ada, window=1) as phone:
        phone.expect_synced()
        notification = producer.post(ada, title="0")
        for number in range(1, 21):
            producer.update(notification, title=str(number))
        last = phone.expect_push("0", sequence=1)
        phone.expect_nothing_before_pong()
        phone.ack(last)
        final = phone.expect_push("20", previous=last["sequence"])
        assert final["notification"]["revision"] == 21
        phone.ack(final)
        phone.expect_nothing_before_pong()


def test_a_withdrawal_reaches_the_device_that_had_it_though_its_window_was_full(
    server: Server, producer: Producer, ada
):
    with server.device(ada, window=1) as phone:
        phone.expect_synced()
        mistake = producer.post(ada, title="a mistake")
        push = phone.expect_push("a mistake")
        producer.post(ada, title="another")
        producer.withdraw(mistake)
        phone.ack(push)
        phone.ack(phone.expect_push("another"))
        withdrawn = phone.expect_push(change="withdrawn", patience=1)
        assert withdrawn["notification"]["id"] == mistake


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_withdrawal_reaches_the_device_that_had_it_but_not_what_was_before_it(
    server: Server, producer: Producer, ada, acknowledged
):
    with server.device(ada) as phone:
        phone.expect_synced()
        producer.post(ada, title="unacknowledged")
        mistake = producer.post(ada, title="a mistake")
        pushes = phone.expect_pushes("unacknowledged", "a mistake")
        if acknowledged:
            phone.ack_ids(pushes[1])
            wait_until(lambda: producer.ledger(mistake)["phone"]["acknowledged_at"])
    wait_until(lambda: producer.ledger(mistake).get("phone"))
    producer.withdraw(mistake)
    with server.device(ada) as phone:
        phone.expect_push("unacknowledged")
        phone.expect_push(change="withdrawn", patience=1)


def test_users_whose_actor_is_swamped_miss_nothing(start_server, ada):
    """With little room in the mailbox a change is only noted, and then read from the log."""
    server = start_server(mailbox_capacity=8)
    with server.connect(headers=bearer(PRODUCER)) as backend, server.device(ada) as phone:
        backend.hello(fresh_user("backend"))
        backend.expect_welcome()
        phone.expect_synced()
        for number in range(300):
            notification = {"to": {"users": [ada]}, "title": str(number)}
            backend.send("publish", request=number, notification=notification)
        seen = 0
        while seen < 300:
            frame = phone.receive()
            assert frame["type"] == "push", frame
            if frame["sequence"] > seen:
                assert (frame["previous"], frame["sequence"]) == (seen, seen + 1)
                seen += 1
            if seen % 10 == 0:
                phone.ack(frame)
