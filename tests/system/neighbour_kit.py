"""A neighbour: a user who is connected while others attack the node, and must not feel it.

`expect_unfelt` makes an attack. She is sent twenty posts a second meanwhile and for a while after,
and every one of them has to reach her in time.

The node's share of each delay counts. Attackers, neighbour and node share a machine here,
with whatever else runs on it; so the time for which the kernel let the node or her wait for a core
is subtracted, where it tells (`/proc/…/schedstat` of Linux).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from servers.node import PATIENCE, wait_until
from servers.tokens import PRODUCER, bearer
from tests.system.device_kit import Device
from tests.system.server_kit import Server, fresh_user

POST_INTERVAL = 0.05
FELT = 0.25
"""Seconds from a post to its push that she may wait at worst."""
MEMORY_MAX = 64 << 20
"""Bytes that the node may grow by."""
QUIET_WITHIN = 2.0
"""Seconds after the attack until the node is busy with nothing but her."""
LATE_POSTS = 6
"""Posts after the attack that have to be in time too, even if the node is quiet at once."""
_QUIET_CPU = 0.3
_CPU_WINDOW = 0.3


class Neighbour:
    """Gets *server*'s posts on a WebSocket.

    `delays` are the seconds from each post to its push, `waits` what of them the machine took.
    """

    def __init__(self, server: Server) -> None:
        self.user = fresh_user("neighbour")
        self.delays: dict[int, float] = {}
        self.waits: dict[int, float] = {}
        self._server = server
        self._node = server.process.pid
        self._posted: dict[int, float] = {}
        self._waited_before: dict[int, float] = {}
        self._stopped = threading.Event()
        self._failures: list[BaseException] = []
        self._device: Device = server.device(self.user)
        self._device.expect_synced()
        self._threads = [
            threading.Thread(target=self._run, args=(run,)) for run in (self._post, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def felt(self) -> list[float]:
        """The node's share of each delay, the longest last."""
        return sorted(self.delays[number] - self.waits[number] for number in self.delays)

    def stop(self) -> None:
        """Post no more, wait for what is on its way, and leave."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._device.close()
        assert not self._failures, self._failures
        assert self._posted.keys() == self.delays.keys(), "something did not arrive"

    def _run(self, run: object) -> None:
        try:
            assert callable(run)
            run()
        except BaseException as error:
            self._failures.append(error)
            self._stopped.set()

    def _post(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            number = 0
            while not self._stopped.wait(POST_INTERVAL):
                number += 1
                body = {"to": {"users": [self.user]}, "title": str(number)}
                self._waited_before[number] = self._waited()
                self._posted[number] = time.monotonic()
                headers = {**bearer(PRODUCER), "Content-Type": "application/json"}
                connection.request("POST", "/v1/notifications", json.dumps(body), headers)
                answer = connection.getresponse()
                assert answer.status == 201, answer.read()
                answer.read()

    def _listen(self) -> None:
        while not (self._stopped.is_set() and self._posted.keys() == self.delays.keys()):
            try:
                push = self._device.receive(POST_INTERVAL)
            except TimeoutError:
                continue
            assert push["type"] == "push", push
            number = int(push["notification"]["title"])
            delay = time.monotonic() - self._posted[number]
            waited = self._waited() - self._waited_before[number]
            # The time for which several threads waited at once is counted for each of them.
            self.waits[number] = min(waited, delay)
            self.delays[number] = delay
            self._device.ack(push)

    def _waited(self) -> float:
        """Seconds for which the node's threads and our two have waited for a core."""
        ours = Path(f"/proc/{os.getpid()}/task")
        threads = [ours / str(thread.native_id) for thread in self._threads]
        return waited_for_a_core(self._node) + sum(map(_waited_for_a_core, threads))


@dataclass(frozen=True)
class Felt:
    """The effect of an attack: the *worst* delay in seconds, and how much the node has *grown*."""

    worst: float
    grown: int
    was_quiet: bool


def expect_unfelt(server: Server, attack: Callable[[], AbstractContextManager[object]]) -> None:
    """Make an *attack*, to the end of its block, and look.

    The neighbour does not feel it, nor the node's memory, and within 2 s of its end the node is
    alive and quiet again. An attack that is felt is tried once more: a node that makes her wait
    does so each time, a disk that stutters does not.
    """
    felt = _attack(server, attack)
    if felt.worst > FELT or not felt.was_quiet:
        felt = _attack(server, attack)
    assert felt.worst <= FELT, felt
    assert felt.grown <= MEMORY_MAX, felt
    assert felt.was_quiet, felt


def _attack(server: Server, attack: Callable[[], AbstractContextManager[object]]) -> Felt:
    process = server.process
    neighbour = Neighbour(server)
    try:
        wait_until(lambda: len(neighbour.delays) >= 3, what="the neighbour's first posts")
        before = process.memory_info().rss
        with attack():
            pass
        ended, arrived = time.monotonic(), len(neighbour.delays)
        grown = process.memory_info().rss - before
        was_quiet = False
        while not was_quiet and time.monotonic() < ended + QUIET_WITHIN:
            was_quiet = _cpu_share(server) < _QUIET_CPU
        late = arrived + LATE_POSTS
        wait_until(lambda: len(neighbour.delays) >= late, what="her posts after the attack")
        assert server.is_ready()
    finally:
        neighbour.stop()
    felt = Felt(neighbour.felt[-1], grown, was_quiet)
    print(felt, "delayed", max(neighbour.delays.values()))
    return felt


def waited_for_a_core(process: int) -> float:
    """Seconds for which the threads of *process* were ready and had no core, so far."""
    return sum(map(_waited_for_a_core, Path(f"/proc/{process}/task").glob("*")))


def _waited_for_a_core(task: Path) -> float:
    try:
        _, waited, _ = (task / "schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0  # it has ended, or this kernel does not tell
    return int(waited) / 1e9  # from nanoseconds


def _cpu_share(server: Server) -> float:
    """How much of a core the node uses now."""
    process = server.process
    before, at = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(_CPU_WINDOW)  # waits for: the clock itself
    return float(sum(process.cpu_times()[:2]) - before) / (time.monotonic() - at)
