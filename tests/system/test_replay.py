"""A device that was away gets what it missed, in order, before anything new; no lie about gaps."""

from __future__ import annotations

import time

import pytest

from servers.node import wait_until
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server


def cursor_behind(device: Device, push: dict[str, object]) -> str:
    return f"{device.welcome['epoch']}.{push['sequence']}"


def leave_acknowledged(device: Device, producer: Producer, ada: str, title: str) -> str:
    """Post, receive, acknowledge and go: the device's cursor is behind it."""
    notification = producer.post(ada, title=title)
    device.ack(device.expect_push(title))
    wait_until(lambda: producer.ledger(notification)[device.welcome["device"]]["acknowledged_at"])
    device.close()
    return notification


def test_missed_notifications_come_in_order_before_anything_new(
    server: Server, producer: Producer, phone: Device, ada
):
    leave_acknowledged(phone, producer, ada, "seen")
    titles = [f"missed {number}" for number in range(5)]
    for title in titles:
        producer.post(ada, title=title)

    with server.device(ada, "phone") as back:
        assert back.welcome["resumed"] is True
        assert back.welcome["head"] == 6
        pushes = back.expect_pushes(*titles, replay=True, attempt=1, change="created")
        synced = back.expect_synced()
        assert synced["sequence"] == pushes[-1]["sequence"]
        previous = [push["previous"] for push in pushes]
        assert previous == [1, *(push["sequence"] for push in pushes[:-1])]
        producer.post(ada, title="new")
        back.expect_push("new", replay=False, previous=synced["sequence"])


def test_a_post_during_the_replay_comes_behind_it(server: Server, producer, ada):
    titles = [str(number) for number in range(20)]
    for title in titles[:10]:
        producer.post(ada, title=title)

    with server.device(ada, "phone", cursor="0", window=2) as phone:
        for title in titles[10:]:
            producer.post(ada, title=title)
        seen: list[str] = []
        while len(seen) < 20:
            frame = phone.receive()
            if frame["type"] == "push":
                seen.append(frame["notification"]["title"])
                phone.ack(frame)
        assert seen == titles
        assert {"type": "synced", "sequence": 20} in [*phone.seen, phone.receive()]


def test_created_and_withdrawn_while_away_is_not_replayed(
    server: Server, producer: Producer, phone: Device, ada
):
    leave_acknowledged(phone, producer, ada, "seen")
    producer.withdraw(producer.post(ada, title="a mistake"))
    producer.post(ada, title="no mistake")

    with server.device(ada, "phone") as back:
        back.expect_push("no mistake", replay=True, previous=1)
        back.expect_synced()


def test_withdrawn_while_away_is_replayed_to_who_had_it(
    server: Server, producer: Producer, phone: Device, ada
):
    notification = leave_acknowledged(phone, producer, ada, "a mistake")
    producer.withdraw(notification)

    with server.device(ada, "phone") as back:
        push = back.expect_push(change="withdrawn", replay=True)
        assert push["notification"]["id"] == notification
        assert push["notification"]["state"] == "withdrawn"
        back.expect_synced()


def test_updated_while_away_is_replayed_once_with_its_last_revision(
    server: Server, producer: Producer, phone: Device, ada
):
    notification = leave_acknowledged(phone, producer, ada, "draft")
    new = producer.post(ada, title="new draft")
    producer.update(notification, title="second draft")
    producer.update(new, title="new and final")
    producer.update(notification, title="final")

    with server.device(ada, "phone") as back:
        first = back.expect_push("new and final", change="created", replay=True)
        second = back.expect_push("final", change="updated", replay=True)
        assert (first["notification"]["revision"], second["notification"]["revision"]) == (2, 3)
        assert second["previous"] == first["sequence"]
        back.expect_synced()


def test_an_update_to_what_is_unacknowledged_is_replayed_as_one(server, producer, ada):
    with server.device(ada, "phone") as phone:
        notification = producer.post(ada, title="draft")
        phone.expect_synced()
        phone.expect_push("draft")
    producer.update(notification, title="final")

    with server.device(ada, "phone") as back:
        push = back.expect_push("final", replay=True, attempt=1)
        assert push["notification"]["revision"] == 2
        back.expect_synced()
        back.ack(push)
    wait_until(lambda: producer.ledger(notification)["phone"]["outcome"] == "acknowledged")


def test_a_cursor_resumes_behind_it_and_acknowledges_up_to_it(server, producer, ada):
    with server.device(ada, "phone") as phone:
        phone.expect_synced()
        ids = [producer.post(ada, title=title) for title in ("one", "two", "three")]
        _, two, _ = phone.expect_pushes("one", "two", "three")
        cursor = cursor_behind(phone, two)

    with server.device(ada, "phone", cursor=cursor) as back:
        assert (back.welcome["cursor"], back.welcome["resumed"]) == (cursor, True)
        back.expect_push("three", replay=True, attempt=2, previous=two["sequence"])
        back.expect_synced()
    assert producer.ledger(ids[0])["phone"]["outcome"] == "acknowledged"
    assert producer.ledger(ids[1])["phone"]["outcome"] == "acknowledged"
    assert producer.ledger(ids[2])["phone"]["outcome"] == "pending"


def test_cursor_zero_starts_from_the_beginning(server: Server, producer: Producer, ada):
    for title in ("one", "two"):
        producer.post(ada, title=title)
    with server.device(ada, "phone") as phone:
        phone.ack(phone.expect_pushes("one", "two")[-1])
        phone.expect_synced()

    with server.device(ada, "tablet", cursor="0") as tablet:
        assert tablet.welcome["resumed"] is False
        assert tablet.welcome["cursor"].endswith(".0")
        tablet.expect_pushes("one", "two", replay=True, attempt=1)
        tablet.expect_synced()


@pytest.mark.parametrize("beyond", ["foreign epoch", "beyond the head"])
def test_a_cursor_that_cannot_be_served_is_answered_with_reset(server, producer, ada, beyond):
    for title in ("one", "two"):
        producer.post(ada, title=title)
    with server.device(ada, "probe") as probe:
        epoch = probe.welcome["epoch"]
    cursor = "someoneelses.1" if beyond == "foreign epoch" else f"{epoch}.77"

    with server.device(ada, "phone", cursor=cursor) as phone:
        assert phone.welcome["resumed"] is False
        assert phone.welcome["cursor"] == f"{epoch}.0"
        phone.expect("reset", reason="epoch")
        phone.expect_pushes("one", "two", replay=True)
        phone.expect_synced()


@pytest.mark.parametrize(
    "cursor",
    ["garbage", "", "1", "abc.-1", "abc.1.1", "abc.", ".1", "a" * 64, "abc.99999999999999999999",
     "abc.1\n", "äöü.1", "0 ", "\u0000.1"],
)  # fmt: skip
def test_a_cursor_that_is_none_is_malformed(server: Server, ada, cursor):
    with server.connect(ada) as phone:
        phone.hello("phone", cursor=cursor)
        phone.expect_goodbye(4400)


def test_a_new_device_begins_at_the_first_notification_that_nobody_acknowledged(
    server: Server, producer: Producer, phone: Device, ada
):
    for title in ("one", "two", "three"):
        producer.post(ada, title=title)
    one, _, three = phone.expect_pushes("one", "two", "three")
    phone.ack_ids(one, three)
    wait_until(lambda: producer.view(three["notification"]["id"])["counts"]["delivered"])

    with server.device(ada, "tablet") as tablet:
        assert tablet.welcome["resumed"] is False
        tablet.expect_pushes("two", "three", replay=True)
        tablet.expect_synced()


def test_a_new_device_begins_now_if_all_is_acknowledged(server, producer, phone: Device, ada):
    notification = producer.post(ada, title="old news")
    phone.ack(phone.expect_push("old news"))
    wait_until(lambda: producer.view(notification)["counts"]["delivered"])

    with server.device(ada, "tablet") as tablet:
        tablet.expect_synced()
        producer.post(ada, title="news")
        tablet.expect_push("news", replay=False)


def test_a_device_without_a_name_is_given_one(server: Server, producer: Producer, ada):
    with server.device(ada, None) as one, server.device(ada, None) as other:
        names = {one.welcome["device"], other.welcome["device"]}
        assert len(names) == 2
        one.expect_synced()
        other.expect_synced()

    producer.post(ada, title="for the first")
    with server.device(ada, one.welcome["device"]) as again:
        again.expect_push("for the first")


def test_an_expired_notification_is_not_replayed(server: Server, producer: Producer, ada):
    short = producer.post(ada, title="short", ttl=0.2)
    producer.post(ada, title="long")
    wait_until(lambda: producer.view(short)["state"] == "expired", what="the expiry")

    with server.device(ada, "phone") as phone:
        phone.expect_push("long", replay=True, unread=1, unseen=1)
        phone.expect_synced()
    assert producer.view(short)["counts"]["expired"] == 1


def test_an_expired_notification_is_not_sent_again(hasty: Server, ada):
    producer = hasty.producer()
    with hasty.device(ada) as phone:
        phone.expect_synced()
        short = producer.post(ada, title="short", ttl=0.1)
        phone.expect_push("short", attempt=1)
        wait_until(lambda: producer.view(short)["state"] == "expired")
        phone.expect("counters", unread=0)
        deadline = time.monotonic() + 0.8
        while time.monotonic() < deadline:
            phone.expect_nothing_before_pong()
            time.sleep(0.1)  # waits for: the resends that should not come


def test_a_long_log_is_replayed_whole(server: Server, producer: Producer, ada):
    count = 300
    for number in range(count):
        producer.post(ada, title=str(number), body="x" * 4000)

    with server.device(ada, "phone", cursor="0", window=50) as phone:
        pushes = []
        while (frame := phone.receive())["type"] == "push":
            pushes.append(frame)
            if len(pushes) % 10 == 0:
                phone.ack(frame)
        assert frame["type"] == "synced"
    assert [push["notification"]["title"] for push in pushes] == list(map(str, range(count)))
    assert [push["previous"] for push in pushes[1:]] == [push["sequence"] for push in pushes[:-1]]
