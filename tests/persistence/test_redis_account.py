"""Each envelope is heard, or there is a gap behind it, with any fault of Redis."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from functools import partial

import pytest
import trio

from servers.redis import Redis
from tests.persistence.services_kit import CHANNELS, joined, said
from tocsin.persistence.bus import Bus, BusUnavailable, Gap, Heard, Said

TALK = 50
"""How much is said between two troubles."""


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.faults)])
async def test_an_envelope_is_heard_or_there_is_a_gap_behind_it(own_redis, rounds):
    troubles = [
        partial(own_redis.execute, "CLIENT", "KILL", "TYPE", "pubsub"),
        partial(own_redis.execute, "CLIENT", "KILL", "TYPE", "normal"),
        partial(own_redis.restart, "immediate"),
        partial(own_redis.execute, "FLUSHALL"),
        partial(hang, own_redis, 1.0),
    ]
    account = Account()
    async with joined(own_redis, timeout=0.4) as (ann, ben), trio.open_nursery() as nursery:
        nursery.start_soon(account.speak, ann)
        nursery.start_soon(account.listen, ben)
        for _ in range(rounds):
            for trouble in troubles:
                await trio.to_thread.run_sync(trouble)
                await account.more_is_heard()
        nursery.cancel_scope.cancel()

    assert len(account.said) >= rounds * len(troubles) * TALK
    account.check()


def hang(server: Redis, seconds: float) -> None:
    server.pause()
    time.sleep(seconds)  # waits for: the connections to be given up
    server.resume()


class Account:
    """The words of one node that were not refused, and those that another heard, with gaps."""

    def __init__(self) -> None:
        self.said: list[int] = []
        self.heard: list[Heard] = []
        self._more = trio.Event()

    async def speak(self, bus: Bus) -> None:
        """Count, as fast as the bus takes it."""
        for number in itertools.count():
            with suppress(BusUnavailable):
                await bus.publish(said(CHANNELS[number % len(CHANNELS)], b"%d" % number))
                self.said.append(number)

    async def listen(self, bus: Bus) -> None:
        while True:
            self.heard += await bus.receive()
            self._more.set()
            self._more = trio.Event()

    async def more_is_heard(self) -> None:
        """Wait until something is heard that is yet to be said, and that is not the next thing."""
        target = (self.said[-1] if self.said else 0) + TALK
        with trio.fail_after(10):
            while not any(number >= target for number in numbers(self.heard[-TALK:])):
                await self._more.wait()

    def check(self) -> None:
        everything = numbers(self.heard)
        assert everything == sorted(set(everything)), "nothing comes twice or out of order"

        last_gap = max(place for place, each in enumerate(self.heard) if isinstance(each, Gap))
        behind = numbers(self.heard[last_gap:])
        missed = set(self.said) - set(everything)
        assert not [each for each in missed if behind[0] < each < behind[-1]]


def numbers(heard: list[Heard]) -> list[int]:
    return [int(each.payload) for each in heard if isinstance(each, Said)]
