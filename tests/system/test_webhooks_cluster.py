"""Webhooks of a cluster: one node carries, and another one when that dies or freezes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.system.receiver_kit import Hooks, Receiver
from tests.system.server_kit import Server, fresh_user

pytestmark = pytest.mark.timeout(600)

LEASE = 15.0
"""Seconds for which a node has a webhook without renewing that."""
PACE = 0.02
"""Seconds from one notification to the next."""


@pytest.fixture
def nodes(start_server: Callable[..., Server], postgres_url: str, redis_url: str) -> list[Server]:
    settings = {"webhook_http": "on", "outbound_allow": "127.0.0.0/8", "drain_time": 2}
    services = {"database": postgres_url, "redis": redis_url}
    return [start_server(node=f"node-{n}", **services, **settings) for n in range(3)]


def holder(nodes: list[Server], hook: dict[str, str]) -> Server:
    """The node that carries to *hook*."""

    def found() -> Server | None:
        for node in nodes:
            metrics = node.http.get("/metrics", headers=bearer(ADMIN)).text
            if f'tocsin_sink_behind{{sink="{hook["id"]}"}}' in metrics:
                return node
        return None

    node = wait_until(found, what="a node that carries")
    assert node is not None
    return node


class Load:
    """A device at *server* that acknowledges notifications, one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.user = fresh_user()
        self.made: list[str] = []

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self.server.device(self.user) as device:
            device.expect_synced()
            while time.monotonic() < until:
                self.made.append(self.server.producer().post(self.user))
                device.ack(device.expect_push())
                time.sleep(PACE)  # waits for: nothing; other tests need the machine as well


def test_a_node_that_is_killed_hands_its_webhook_on(nodes):
    with Receiver() as receiver:
        hook = Hooks(nodes[0]).make(receiver.url, events=["delivered"])
        victim = holder(nodes, hook)
        load = Load(next(each for each in nodes if each is not victim))
        load.run(2)
        victim.kill()
        load.run(2)
        assert receiver.wait(len(load.made), patience=60) == load.made
        survivors = [each for each in nodes if each is not victim]
        assert holder(survivors, hook) in survivors


def test_a_node_that_stops_in_order_hands_its_webhook_on_at_once(nodes):
    with Receiver() as receiver:
        hook = Hooks(nodes[0]).make(receiver.url, events=["delivered"])
        leaving = holder(nodes, hook)
        load = Load(next(each for each in nodes if each is not leaving))
        load.run(1)
        receiver.wait(len(load.made))
        leaving.stop()
        stopped = time.monotonic()
        load.run(1)
        assert receiver.wait(len(load.made)) == load.made
        assert time.monotonic() - stopped < LEASE
        assert len(receiver.taken) == len(load.made), "nothing was carried twice"


def test_a_node_that_was_frozen_past_its_lease_carries_no_more(nodes):
    with Receiver() as receiver:
        hook = Hooks(nodes[0]).make(receiver.url, events=["delivered"])
        frozen = holder(nodes, hook)
        load = Load(next(each for each in nodes if each is not frozen))
        load.run(1)
        frozen.signal(signal.SIGSTOP)
        try:
            load.run(LEASE + 7)
            assert receiver.wait(len(load.made), patience=30) == load.made
        finally:
            frozen.signal(signal.SIGCONT)
        load.run(3)
        assert receiver.wait(len(load.made), patience=30) == load.made
        positions = [each["id"] for each in receiver.taken]
        assert len(positions) - len(set(positions)) <= 100, "one batch at most came twice"
        others = [each for each in nodes if each is not frozen]
        assert holder(others, hook) in others
