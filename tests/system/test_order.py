"""Posts that a producer sends one after the other reach the device in that order."""

from __future__ import annotations

from servers.tokens import PRODUCER, bearer
from tests.system.server_kit import Server


def test_publishes_over_one_socket_keep_their_order(server: Server, ada):
    count = 60
    with server.device(ada) as phone, server.connect(headers=bearer(PRODUCER)) as backend:
        phone.expect_synced()
        backend.hello()
        backend.expect_welcome()
        for number in range(count):
            notification = {"to": {"users": [ada]}, "title": str(number)}
            backend.send("publish", request=number, notification=notification)
        titles: list[str] = []
        while len(titles) < count:
            push = phone.expect_push()
            titles.append(push["notification"]["title"])
            phone.ack(push)
    assert titles == [str(number) for number in range(count)]
