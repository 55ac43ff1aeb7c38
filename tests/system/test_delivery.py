"""A notification goes to every device, again and again until that device has acknowledged it."""

from __future__ import annotations

from servers.node import wait_until
from servers.tokens import bearer, token
from tests.system.device_kit import Device, Frame, settled
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server, fresh_user


def test_both_devices_of_a_user_receive_what_is_posted(server: Server, producer: Producer, ada):
    phone, laptop = server.device(ada, "phone"), server.device(ada, "laptop")
    with settled(phone, laptop):
        notification = producer.post(ada, title="Dinner", body="At eight", data={"table": 4})

        for device in (phone, laptop):
            device.expect_synced()
            push = device.expect_push("Dinner", change="created", attempt=1, replay=False)
            assert push["notification"]["id"] == notification
            assert push["notification"]["data"] == {"table": 4}
            assert push["notification"]["state"] == "unseen"
            assert (push["unread"], push["unseen"]) == (1, 1)


def test_an_unacknowledged_push_is_sent_again_until_the_device_is_given_up(hasty: Server, ada):
    producer = hasty.producer()
    phone, laptop = hasty.device(ada, "phone"), hasty.device(ada, "laptop")
    with settled(phone, laptop):
        phone.expect_synced()
        laptop.expect_synced()
        notification = producer.post(ada)
        phone.ack(phone.expect_push(attempt=1))

        first = laptop.expect_push(attempt=1)
        again = [laptop.expect_push(attempt=attempt) for attempt in (2, 3)]
        goodbye = laptop.expect_goodbye(4002)

        assert {push["sequence"] for push in again} == {first["sequence"]}
        assert {push["previous"] for push in again} == {first["previous"]}
        assert goodbye["reason"] == "unresponsive"
        assert goodbye["after"] > 0
        phone.expect_nothing_before_pong()
        ledger = producer.ledger(notification)
        assert ledger["phone"]["attempts"] == 1
        assert ledger["phone"]["outcome"] == "acknowledged"
        assert ledger["phone"]["acknowledged_at"] >= ledger["phone"]["first_sent_at"]
        assert ledger["laptop"]["attempts"] == 3
        assert ledger["laptop"]["outcome"] == "pending"
        assert ledger["laptop"]["acknowledged_at"] is None


def test_attempts_are_counted_across_sessions_and_end_as_a_dead_letter(hasty: Server, ada):
    producer = hasty.producer()
    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()
        poison = producer.post(ada, title="Poison")
        for attempt in (1, 2, 3):
            phone.expect_push("Poison", attempt=attempt)
        phone.expect_goodbye(4002)
    after = producer.post(ada, title="After it")

    with hasty.device(ada, "phone") as phone:
        phone.expect_push("Poison", attempt=4, replay=True)
        behind = phone.expect_push("After it", attempt=1, replay=True)
        phone.expect_synced()
        phone.ack_ids(behind)
        phone.expect_push("Poison", attempt=5)

        # delivery-attempts-max is 5: given up, and the session goes on behind it.
        dead = wait_until(lambda: dead_line(producer, poison), what="the dead letter")
        assert dead["attempts"] == 5
        assert dead["reason"]
        last = producer.post(ada, title="Still here")
        phone.ack(phone.expect_push("Still here"))
        wait_until(lambda: producer.view(last)["counts"]["delivered"] == 1)

    assert producer.view(poison)["counts"]["dead"] == 1
    assert producer.view(poison)["counts"]["delivered"] == 0
    assert producer.ledger(after)["phone"]["outcome"] == "acknowledged"
    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()


def dead_line(producer: Producer, notification: str) -> dict[str, object]:
    line = producer.ledger(notification)["phone"]
    return line if line["outcome"] == "dead" else {}


def test_the_other_device_still_gets_what_is_dead_for_one(hasty: Server, ada):
    producer = hasty.producer()
    with hasty.device(ada, "phone") as phone:
        poison = producer.post(ada, title="Poison")
        for frame in phone.frames_to_the_end():
            if frame["type"] == "push":
                phone.nack(frame, reason="cannot show it", after=0)
            if frame.get("attempt") == 5:
                break
        wait_until(lambda: dead_line(producer, poison))
        assert producer.ledger(poison)["phone"]["reason"] == "cannot show it"

    with hasty.device(ada, "laptop", cursor="0") as laptop:
        laptop.ack(laptop.expect_push("Poison", attempt=1))
        wait_until(lambda: producer.ledger(poison)["laptop"]["outcome"] == "acknowledged")
    assert producer.view(poison)["counts"]["delivered"] == 1
    assert producer.view(poison)["counts"]["dead"] == 0


def test_a_refused_push_comes_again_after_the_time_that_the_device_named(
    phone: Device, producer: Producer, ada
):
    notification = producer.post(ada)
    push = phone.expect_push(attempt=1)

    phone.nack(push, reason="busy", after=0.2)

    # The resend delay of this server is ten seconds: it is the nack that brings it back.
    again = phone.expect_push(attempt=2, patience=5)
    assert again["sequence"] == push["sequence"]
    phone.ack(again)
    wait_until(lambda: producer.ledger(notification)["phone"]["outcome"] == "acknowledged")
    assert producer.ledger(notification)["phone"]["attempts"] == 2


def test_a_refusal_is_no_silence_so_the_session_goes_on(hasty: Server, ada):
    with hasty.device(ada, "phone") as phone:
        phone.expect_synced()
        hasty.producer().post(ada)
        for attempt in (1, 2, 3, 4):  # the limit of resends is 3
            phone.nack(phone.expect_push(attempt=attempt), after=0.01)
        phone.ack(phone.expect_push(attempt=5))
        phone.expect_nothing_before_pong()


def test_one_ack_covers_everything_before_it(phone: Device, producer: Producer, ada):
    ids = [producer.post(ada, title=title) for title in ("one", "two", "three")]
    pushes = phone.expect_pushes("one", "two", "three")

    phone.ack(pushes[1])

    wait_until(lambda: producer.ledger(ids[0])["phone"]["outcome"] == "acknowledged")
    assert producer.ledger(ids[1])["phone"]["outcome"] == "acknowledged"
    assert producer.ledger(ids[2])["phone"]["outcome"] == "pending"


def test_acks_may_be_selective_and_repeated(server: Server, producer: Producer, ada):
    with server.device(ada) as phone:
        phone.expect_synced()
        ids = [producer.post(ada, title=title) for title in ("one", "two", "three")]
        pushes = phone.expect_pushes("one", "two", "three")
        for _ in range(3):
            phone.ack_ids(pushes[1], pushes[2])
        wait_until(lambda: producer.ledger(ids[2])["phone"]["outcome"] == "acknowledged")
        assert producer.ledger(ids[0])["phone"]["outcome"] == "pending"
        phone.expect_nothing_before_pong()

    # A push that was acknowledged out of order does not come again.
    with server.device(ada) as phone:
        again = phone.expect_push("one", attempt=2, replay=True)
        phone.expect_synced()
        phone.ack(again, again, pushes[0], pushes[2])
        phone.expect_nothing_before_pong()
    with server.device(ada) as phone:
        phone.expect_synced()


def test_every_push_names_the_one_before_it(phone: Device, producer: Producer, ada):
    for title in "abc":
        producer.post(ada, title=title)
    first, second, third = phone.expect_pushes("a", "b", "c")

    assert phone.welcome["cursor"] == f"{phone.welcome['epoch']}.{first['previous']}"
    assert second["previous"] == first["sequence"]
    assert third["previous"] == second["sequence"]


def test_no_more_than_the_window_is_in_flight(server: Server, producer: Producer, ada):
    with server.device(ada, window=2) as phone:
        assert phone.welcome["window"] == 2
        phone.expect_synced()
        titles = [str(number) for number in range(10)]
        for title in titles:
            producer.post(ada, title=title)

        unacknowledged: list[Frame] = []
        seen: list[str] = []
        while len(seen) < 10:
            push = phone.expect_push(attempt=1, replay=False)
            seen.append(push["notification"]["title"])
            unacknowledged.append(push)
            assert len(unacknowledged) <= 2
            if len(unacknowledged) == 2:
                phone.expect_nothing_before_pong()
                phone.ack(unacknowledged.pop(0))
        assert seen == titles


def test_the_window_holds_during_replay_too(server: Server, producer: Producer, ada):
    titles = [str(number) for number in range(7)]
    for title in titles:
        producer.post(ada, title=title)

    with server.device(ada, "new", window=3, cursor="0") as phone:
        batch = phone.expect_pushes(*titles[:3], replay=True)
        phone.expect_nothing_before_pong()
        phone.ack(batch[-1])
        batch = phone.expect_pushes(*titles[3:6], replay=True)
        phone.expect_nothing_before_pong()
        phone.ack(batch[0])
        phone.expect_push(titles[6], replay=True)
        phone.expect_synced()


def test_the_same_device_again_replaces_the_older_session(server: Server, producer, ada):
    old = server.device(ada, "phone")
    other = server.device(ada, "laptop")
    with settled(old, other), server.device(ada, "phone") as new:
        old.expect_goodbye(4409)
        new.expect_synced()
        other.expect_synced()
        producer.post(ada, title="To the new one")
        new.expect_push("To the new one")
        other.expect_push("To the new one")


def test_devices_of_a_user_are_independent(server: Server, producer: Producer, ada):
    devices = [server.device(ada, f"device-{number}") for number in range(12)]
    with settled(*devices):
        first, second = producer.post(ada, title="one"), producer.post(ada, title="two")
        for number, device in enumerate(devices):
            device.expect_synced()
            one, two = device.expect_pushes("one", "two")
            if number % 3 == 0:
                device.ack(two)
            elif number % 3 == 1:
                device.ack_ids(one)
        wait_until(lambda: acknowledged(producer, first) == 8)
        wait_until(lambda: acknowledged(producer, second) == 4)


def acknowledged(producer: Producer, notification: str) -> int:
    lines = producer.ledger(notification).values()
    return sum(line["outcome"] == "acknowledged" for line in lines)


def test_more_devices_than_a_user_may_have_are_turned_away(start_server, ada):
    server = start_server(user_devices_max=3)
    devices = [server.device(ada, f"device-{number}") for number in range(3)]
    with settled(*devices):
        with server.connect(ada) as one_too_many:
            one_too_many.hello("device-3")
            assert one_too_many.expect_goodbye(4005)["after"] > 0
        with server.device(ada, "device-0") as replacing:  # the same device is none too many
            replacing.expect_synced()
        devices[1].expect_synced()


def test_a_client_that_never_has_a_name_leaves_no_more_devices_than_a_user_may_have(
    start_server, ada
):
    server = start_server(user_devices_max=3)
    names = []
    for _ in range(5):
        with server.device(ada, None) as device:
            names.append(device.welcome["device"])
    answer = server.http.get("/v1/me/devices", headers=bearer(token(ada)))
    known = {each["device"] for each in expect_json(answer)["devices"]}
    assert known == set(names[-3:])


def test_only_recipients_are_told(server: Server, producer: Producer, ada):
    eve = fresh_user("eve")
    with server.device(eve, "phone") as other, server.device(ada, "phone") as phone:
        producer.post(ada, title="For Ada")
        phone.expect_synced()
        phone.expect_push("For Ada")
        other.expect_synced()
        other.expect_nothing_before_pong()


def test_one_post_reaches_a_thousand_users(server: Server, producer: Producer):
    users = [fresh_user() for _ in range(1000)]
    with server.device(users[0]) as first, server.device(users[999]) as last:
        notification = producer.post(*users, title="To all")
        for device in (first, last):
            device.expect_synced()
            device.ack(device.expect_push("To all"))
    wait_until(lambda: producer.view(notification)["counts"]["delivered"] == 2)
    assert producer.view(notification)["counts"]["recipients"] == 1000


def test_of_many_connections_of_one_device_the_last_stays(server: Server, producer, ada):
    devices = [server.connect(ada) for _ in range(20)]
    with settled(*devices):
        for device in devices:
            device.hello("phone")
        notification = producer.post(ada, title="for one")
        staying = list(devices)

        def one_stays() -> bool:
            staying[:] = [device for device in staying if not was_replaced(device)]
            return len(staying) == 1

        wait_until(one_stays)
        [stayed] = staying
        while not (pushes := [frame for frame in stayed.seen if frame["type"] == "push"]):
            stayed.receive()
        stayed.ack(pushes[0])
        wait_until(lambda: producer.ledger(notification)["phone"]["outcome"] == "acknowledged")


def was_replaced(device: Device) -> bool:
    """Read what has come; whether a goodbye is in it."""
    while True:
        try:
            frame = device.receive(0.05)
        except TimeoutError:
            return False
        if frame["type"] == "goodbye":
            assert frame["code"] == 4409
            return True
