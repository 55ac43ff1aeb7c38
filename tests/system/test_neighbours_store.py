"""What others have to write is not felt: a batch to hundreds of thousands, and a neighbour."""

from __future__ import annotations

import json
import threading
import time

import httpx

from tests.system.kit import PATIENCE, PRODUCER, Server, bearer, fresh_user, token

WORST = 0.25
"""Seconds from a neighbour's post to its push, on a machine that has nothing else to do."""


def batch_of(items: int, recipients: int) -> bytes:
    prefix = fresh_user("many")
    users = [f"{prefix}-{number}" for number in range(recipients)]
    item = json.dumps({"to": {"users": users}, "title": "To very many"})
    return "\n".join([item] * items).encode()


class Batch(threading.Thread):
    """A batch on its way, over a connection of its own."""

    def __init__(self, server: Server, content: bytes, credential: str) -> None:
        super().__init__()
        self._request = {
            "url": f"{server.url}/v1/notifications/batch",
            "content": content,
            "headers": {**bearer(credential), "Content-Type": "application/x-ndjson"},
        }
        self.statuses: list[int] = []
        self.seconds = 0.0

    def run(self) -> None:
        started = time.monotonic()
        answer = httpx.post(**self._request, timeout=600, verify=False)
        assert answer.status_code == 200, answer.text
        self.statuses = [each["status"] for each in answer.json()["results"]]
        self.seconds = time.monotonic() - started


def neighbour_of(server: Server, batch: Batch, seconds: float) -> list[float]:
    """How long each of a neighbour's posts takes to its push, five a second, beside *batch*."""
    ada = fresh_user("ada")
    producer, delays = server.producer(token("other", "notify")), []
    with server.device(ada) as device:
        device.expect("synced")
        batch.start()
        ends = time.monotonic() + seconds
        while batch.is_alive() and time.monotonic() < ends:
            started = time.monotonic()
            producer.post(ada, title=str(len(delays)))
            device.ack(device.expect_push(str(len(delays)), patience=PATIENCE))
            delays.append(time.monotonic() - started)
            time.sleep(max(0.0, 0.2 - delays[-1]))
    return delays


def test_a_batch_to_very_many_is_not_felt_by_a_neighbour(start_server, new_store):
    server = start_server(**new_store(), request_timeout=300)
    batch = Batch(server, batch_of(500, 1000), PRODUCER)
    delays = neighbour_of(server, batch, 600)
    batch.join()
    print(len(delays), sorted(delays)[-5:], batch.seconds)
    assert batch.statuses == [201] * 500
    assert max(delays) <= WORST
