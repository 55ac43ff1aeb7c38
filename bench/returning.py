"""Devices that come back when their connection ends, in a process of their own.

    python -m bench.returning COUNT PORT BACK

connects *COUNT* devices to *PORT* and prints a line when all are connected. A device that then
loses its connection comes back through *BACK*: after the time that the goodbye names, or, without a
goodbye, at once and together with all others, which is harder on a node than most clients are. When
all devices are back, the process prints `Returned` as a line of JSON, and stays until its standard
input ends.

The devices have a process of their own because thousands of connecting clients keep a process busy
for seconds. The delay of pushes to other devices, measured in that process, would mostly be that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from bench.swarm import Peer, Swarm
from tocsin.cli.serving.descriptors import raise_limit

_DEADLINE = 120.0
"""Seconds for each line of the crowd: thousands connect before the first."""
_RETRY_DELAY = 0.5
"""Seconds after an attempt that failed, at least; at most twice as many, by chance."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The times are seconds of the system's monotonic clock, which all processes share.

    *attempts_failed* counts the attempts to come back that did not lead to a session.
    """

    first_lost: float
    last_lost: float
    first_back: float
    last_back: float
    back_in_one_second_max: int
    attempts_failed: int


@dataclass(frozen=True, slots=True)
class Port:
    """An address on this machine."""

    port: int


class Crowd:
    """*count* devices of as many users, which live at *first* and come back at *back*."""

    def __init__(self, count: int, first: Port, back: Port) -> None:
        self._count = count
        self._first, self._back = Swarm(first), Swarm(back)
        self._afters: dict[Peer, float] = {}
        self._lost: list[float] = []
        self._returned: list[float] = []
        self._failed = 0
        self._first.on_frame = self._note_goodbye

    async def run(self) -> None:
        """Connect all devices and print a line; when each has lost its connection and is back,
        print `Returned`. Never returns: `main` ends the process.
        """
        names = [(f"lost{number}", "phone") for number in range(self._count)]
        await self._first.connect(names)
        print("connected", flush=True)
        pairs = zip(self._first.peers, names, strict=True)
        await asyncio.gather(*(self._return(peer, *name) for peer, name in pairs))
        print(json.dumps(asdict(self._sum_up())), flush=True)
        await asyncio.get_running_loop().create_future()

    async def _return(self, peer: Peer, user: str, device: str) -> None:
        await peer.lost
        self._lost.append(time.monotonic())
        await asyncio.sleep(self._afters.get(peer, 0.0))
        while True:
            try:
                await self._back.connect_one(user, device)
            except (OSError, TimeoutError):
                self._failed += 1
                await asyncio.sleep(_RETRY_DELAY * (1 + random.random()))
            else:
                self._returned.append(time.monotonic())
                return

    def _note_goodbye(self, peer: Peer, payload: bytes) -> None:
        if payload.startswith(b'{"type":"goodbye"'):
            self._afters[peer] = json.loads(payload)["after"]

    def _sum_up(self) -> Returned:
        seconds = [int(at - self._returned[0]) for at in self._returned]
        return Returned(
            self._lost[0],
            self._lost[-1],
            self._returned[0],
            self._returned[-1],
            max(seconds.count(each) for each in set(seconds)),
            self._failed,
        )


class Absent:
    """A crowd as the scenario sees it, from another process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait_returned(self) -> Returned:
        """Wait until all have caught up where they came back."""
        return Returned(**json.loads(await self.line()))

    async def line(self) -> bytes:
        """The next line that the process prints. Raises `TimeoutError` after `_DEADLINE` s."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _DEADLINE)
        assert line, "the crowd has ended"
        return line


@asynccontextmanager
async def crowd(count: int, first: int, back: int) -> AsyncIterator[Absent]:
    """Run *count* devices, connected to the port *first*, that come back at the port *back*."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.returning", str(count), str(first), str(back)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        absent = Absent(process)
        await absent.line()
        yield absent
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    """Run a `Crowd` with the arguments of the command line, until standard input ends."""
    raise_limit()
    # Standard input ends however the scenario ends, even if that is killed: no process stays.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    count, first, back = map(int, sys.argv[1:])
    asyncio.run(Crowd(count, Port(first), Port(back)).run())


if __name__ == "__main__":
    main()
