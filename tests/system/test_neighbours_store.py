"""The writes of other producers are not felt: a batch to hundreds of thousands, and a neighbour."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest

from servers.tokens import PRODUCER, bearer, token
from tests.system.producer_kit import Producer
from tests.system.server_kit import Server, fresh_user

pytestmark = pytest.mark.alone
WORST = 0.25
"""Seconds that a neighbour's post may take to its push, besides one transaction of the batch's."""
SECONDS = 5
"""How long a neighbour looks; the batch takes longer."""
RECIPIENTS = 1000


class Batch(threading.Thread):
    """Five hundred posts to a thousand users each on their way, over a connection of its own."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        prefix = fresh_user("many")
        self.users = [f"{prefix}-{number}" for number in range(RECIPIENTS)]
        item = json.dumps({"to": {"users": self.users}, "title": "To very many"})
        self._server = server
        self._content = "\n".join([item] * 500).encode()

    def run(self) -> None:
        headers = {**bearer(PRODUCER), "Content-Type": "application/x-ndjson"}
        url = f"{self._server.url}/v1/notifications/batch"
        try:
            httpx.post(url, content=self._content, headers=headers, timeout=600, verify=False)
        except httpx.TransportError:
            return  # the test has seen enough, and has ended the server


def delays_beside(batch: Batch, server: Server, producer: Producer) -> list[float]:
    """How long each of a neighbour's posts takes to its push, ten a second, beside *batch*."""
    ada = fresh_user("ada")
    delays: list[float] = []
    with server.device(ada) as device:
        device.expect("synced")
        batch.start()
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            started = time.monotonic()
            producer.post(ada, title=str(len(delays)))
            device.ack(device.expect_push(str(len(delays))))
            delays.append(time.monotonic() - started)
            time.sleep(max(0.0, 0.1 - delays[-1]))  # waits for: the pace of a neighbour
        assert batch.is_alive(), "a batch that is over bothers nobody"
    return delays


def ordinary_transaction(batch: Batch, producer: Producer) -> float:
    """Seconds that one post to the batch's users takes beside it, at most."""
    durations = []
    for _ in range(5):
        started = time.monotonic()
        producer.post(*batch.users)
        durations.append(time.monotonic() - started)
    return max(durations)


def look_beside_a_batch(server: Server, neighbour: Producer) -> None:
    batch = Batch(server)
    worst = max(delays_beside(batch, server, neighbour))
    ordinary = ordinary_transaction(batch, neighbour)
    server.close()
    batch.join()
    assert worst <= WORST + ordinary, (worst, ordinary)


def test_a_batch_to_very_many_is_not_felt_by_a_neighbour(start_server, new_store):
    server = start_server(**new_store())
    look_beside_a_batch(server, server.producer(token("other", "notify")))


def test_nor_by_who_posts_with_the_same_credential(start_server, new_store):
    server = start_server(**new_store())
    look_beside_a_batch(server, server.producer(PRODUCER))
