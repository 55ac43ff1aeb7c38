"""One run: the devices come, the producers post, connections are cut, and all is accounted for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tocsin.load.books import Books, Tally
from tocsin.load.device import Device
from tocsin.load.plan import LoadPlan
from tocsin.load.producer import Producers
from tocsin.load.target import Target

_TICK = 1.0
"""Seconds between two samples of the counters, and two rounds of cuts."""


class NotConnected(Exception):
    """Some devices did not get in."""


@dataclass(slots=True)
class LoadOutcome:
    """The findings of a run; times in seconds."""

    plan: LoadPlan
    books: Books
    samples: list[tuple[float, Tally]] = field(default_factory=list)
    """The counters each second, with the time since the run began."""
    connecting: float = 0.0
    posting: float = 0.0
    settling: float = 0.0
    cpu: float = 0.0
    """CPU time of the load itself."""


class Engine:
    """Runs *plan* against *target* as the run named *run*.

    *kill* is run at the plan's moment; *progress* is told the outcome so far, once a second.
    *chance* makes all choices.
    """

    def __init__(
        self,
        plan: LoadPlan,
        target: Target,
        run: str,
        *,
        chance: random.Random,
        kill: Callable[[], Awaitable[None]] | None = None,
        progress: Callable[[str, LoadOutcome], None] = lambda phase, outcome: None,
    ) -> None:
        self._plan = plan
        self._chance = chance
        self._kill = kill
        self._progress = progress
        books = Books([f"load-{run}-{number}" for number in range(plan.devices)])
        self._outcome = LoadOutcome(plan, books)
        self._producers = Producers(run, target, books, plan, chance)
        self._devices = [Device(user, run, target, books, plan, chance) for user in books.users]
        self._phase = "connecting"

    async def run(self) -> LoadOutcome:
        """The whole run. Raises `NotConnected` if devices cannot get in.

        Cancelling ends the connections.
        """
        cpu, began = time.process_time(), time.perf_counter()
        outcome = self._outcome
        watching = asyncio.create_task(self._watch(began))
        try:
            if self._plan.scenario == "storm":
                # Posts go on while the devices come.
                await asyncio.gather(self._connect(), self._post())
            else:
                await self._connect()
                await self._post()
            self._phase = "settling"
            settling = time.perf_counter()
            await self._settle(settling + self._plan.settle)
            outcome.settling = time.perf_counter() - settling
        finally:
            watching.cancel()
            for device in self._devices:
                device.stop()
            outcome.cpu = time.process_time() - cpu
        return outcome

    async def _connect(self) -> None:
        began = time.perf_counter()
        starting = []
        for number, device in enumerate(self._devices):
            due = began + number / self._plan.connect_rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            starting.append(asyncio.create_task(device.start()))
        results = await asyncio.gather(*starting, return_exceptions=True)
        failed = [each for each in results if isinstance(each, BaseException)]
        if failed:
            raise NotConnected(
                f"{len(failed)} of {len(results)} devices did not get in: {failed[0]!r}"
            )
        self._outcome.connecting = time.perf_counter() - began

    async def _post(self) -> None:
        self._phase = "posting"
        began = time.perf_counter()
        cutting = asyncio.create_task(self._cut())
        killing = asyncio.create_task(self._kill_in_time())
        try:
            await self._producers.post(began, self._plan.duration)
            await killing
        finally:
            cutting.cancel()
            killing.cancel()
        self._outcome.posting = time.perf_counter() - began

    async def _cut(self) -> None:
        if not self._plan.cuts:
            return
        while True:
            await asyncio.sleep(_TICK)
            for device in self._devices:
                if self._chance.random() < self._plan.cuts * _TICK:
                    device.cut()

    async def _kill_in_time(self) -> None:
        if self._kill is not None and self._plan.kill_after is not None:
            await asyncio.sleep(self._plan.kill_after)
            await self._kill()

    async def _settle(self, deadline: float) -> None:
        while not self._outcome.books.is_whole and time.perf_counter() < deadline:  # noqa: ASYNC110
            # To be woken by each push would cost every device; a tenth of a second costs nobody.
            await asyncio.sleep(_TICK / 10)

    async def _watch(self, began: float) -> None:
        while True:
            await asyncio.sleep(_TICK)
            tally = self._outcome.books.tally
            copy = Tally(**{name: getattr(tally, name) for name in Tally.__slots__})
            self._outcome.samples.append((time.perf_counter() - began, copy))
            self._progress(self._phase, self._outcome)
