"""Devices that come back when their connection ends, in a process of their own.

    python -m bench.returning COUNT PORT BACK

connects *COUNT* devices to *PORT* and says so in a line. Whoever then loses the connection comes
back through *BACK*: after the time that a goodbye names, or else at once, all together, which is
worse than what most clients do. When all are back it prints `Returned` as a line of JSON, and stays
until its input ends.

A process of its own, because thousands of clients that connect keep a process busy for seconds: who
measured others' pushes beside them would measure that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from bench.swarm import Peer, Swarm

_DEADLINE = 120.0
_RETRY_DELAY = 0.5
"""Seconds, to twice as many, after an attempt that failed."""


@dataclass(frozen=True, slots=True)
class Returned:
    """Seconds of the system's monotonic clock; *attempts_failed* on the way back."""

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
        """Connect, say so, wait for the end of it, come back, say that."""
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
        """The next line that it prints."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _DEADLINE)
        assert line, "the crowd has ended"
        return line


@asynccontextmanager
async def crowd(count: int, first: int, back: int) -> AsyncIterator[Absent]:
    """*count* connected devices at the port *first*, which come back at *back*."""
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
    """As the module says, for the arguments of the command line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # However the scenario ends, also killed: nobody is left behind.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    count, first, back = map(int, sys.argv[1:])
    asyncio.run(Crowd(count, Port(first), Port(back)).run())


if __name__ == "__main__":
    main()
