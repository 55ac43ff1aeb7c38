"""Three transports, one log: a device may switch at any point, and so may the world fail."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.node import wait_until
from servers.postgres import Postgres
from tests.system.device_kit import Frame
from tests.system.plain_http_kit import poll, stream, titles, try_poll, wait_until_begun
from tests.system.producer_kit import expect_problem
from tests.system.server_kit import Server


class Wanderer:
    """A device that reads a little over one transport, and goes on over another.

    It keeps what it has *seen*, and its cursor; both survive its connections.
    """

    def __init__(self, server: Server, user: str, chance: random.Random) -> None:
        self.server = server
        self.user = user
        self.chance = chance
        self.cursor = "0"
        self.sequence = 0
        self.seen: list[str] = []

    def saw(self, push: Frame) -> None:
        """Nothing comes again that the cursor has acknowledged, and nothing is left out."""
        assert push["sequence"] > self.sequence
        self.sequence = push["sequence"]
        self.seen.append(push["notification"]["title"])

    def use_any(self, waiting: int) -> None:
        use = self.chance.choice([self.use_stream, self.use_poll, self.use_socket, self.be_cut])
        use(self.chance.randint(0, waiting))

    def use_stream(self, count: int) -> None:
        """Hang up in the middle of whatever comes."""
        with stream(self.server, self.user, device="phone", cursor=self.cursor) as events:
            events.expect("welcome", **({"cursor": self.cursor} if self.sequence else {}))
            for _ in range(count):
                event = events.expect("push")
                self.saw(event.data)
                self.cursor = str(event.id)

    def use_poll(self, count: int) -> None:
        limit = max(1, count)
        answer = poll(self.server, self.user, device="phone", cursor=self.cursor, limit=limit)
        for change in answer["changes"]:
            self.saw(change)
        self.cursor = answer["cursor"]

    def use_socket(self, count: int) -> None:
        with self.server.device(self.user, "phone", cursor=self.cursor) as device:
            for _ in range(count):
                push = device.expect("push")
                self.saw(push)
                self.cursor = f"{device.welcome['epoch']}.{push['sequence']}"
                if self.chance.random() < 0.5:
                    device.ack(push)

    def be_cut(self, _: int) -> None:
        """The answer is lost on the way: nothing of it was seen."""
        try_poll(self.server, self.user, device="phone", cursor=self.cursor, limit=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_device_may_switch_its_transport_at_any_point(server, producer, ada, seed):
    """It misses nothing, and gets nothing again that it has acknowledged."""
    chance = random.Random(seed)
    device = Wanderer(server, ada, chance)
    posted: list[str] = []
    for _ in range(25):
        for _ in range(chance.randint(0, 3)):
            posted.append(str(len(posted)))
            producer.post(ada, title=posted[-1])
        device.use_any(len(posted) - len(device.seen))
    while len(device.seen) < len(posted):
        device.use_poll(10)
    assert device.seen == posted


def test_three_transports_show_the_same(server, producer, ada):
    with (
        server.device(ada, "desktop") as desktop,
        stream(server, ada, device="tab") as tab,
    ):
        desktop.expect_synced()
        tab.expect_live()
        cursor = poll(server, ada, device="phone")["cursor"]
        notification = producer.post(ada, title="1")
        producer.update(notification, title="2")

        pushes = desktop.expect_pushes("1", "2")
        events = [tab.expect_push("1").data, tab.expect_push("2").data]
        answer = poll(server, ada, device="phone", cursor=cursor)

        assert pushes == events
        # A notification that changed while the phone was away comes once, as it is now.
        assert titles(answer) == ["2"]
        assert answer["changes"][0]["notification"] == pushes[-1]["notification"]


def test_a_store_that_is_away_ends_no_stream_and_no_poll_that_waits(
    start_server, own_postgres: Postgres, ada
):
    server = start_server(database=own_postgres.create_database(), store_timeout=2)
    producer = server.producer()
    with ThreadPoolExecutor() as pool, stream(server, ada, device="tab") as tab:
        tab.expect_live()
        waiting = pool.submit(poll, server, ada, device="phone", wait=60)
        wait_until_begun(server, ada, "phone")
        own_postgres.stop()
        wait_until(lambda: producer.try_post(ada).status_code == 503)
        tab.expect("status", store="lost")
        expect_problem(try_poll(server, ada, device="late"), 503, "store_unavailable")
        own_postgres.start()
        tab.expect("status", store="ok")
        wait_until(lambda: producer.try_post(ada, title="again").status_code == 201)

        tab.expect_push("again")
        assert titles(waiting.result(15)) == ["again"]
