"""asyncio inside Trio: whole turns at a time, and no more than its share.

Also the contract with trio-asyncio, a private method of which is in use: another release that does
without it fails here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio
from trio_asyncio import aio_as_trio

from tocsin.persistence.asyncio_loop import CALLBACKS_MAX, open_asyncio_loop


class Turns(trio.abc.Instrument):
    """Counts Trio's turns."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@contextmanager
def turns() -> Iterator[Turns]:
    counting = Turns()
    trio.lowlevel.add_instrument(counting)
    try:
        yield counting
    finally:
        trio.lowlevel.remove_instrument(counting)


async def step(times: int) -> None:
    """As many callbacks, each made ready by the one before."""
    for _ in range(times):
        await asyncio.sleep(0)


@asynccontextmanager
async def busy_asyncio() -> AsyncIterator[list[int]]:
    """A task of asyncio that never waits; the list counts its steps."""
    steps = [0]

    async def run_for_ever() -> None:
        while True:
            steps[0] += 1
            await asyncio.sleep(0)

    async def start() -> asyncio.Task[None]:
        return asyncio.ensure_future(run_for_ever())

    task = await aio_as_trio(start)()
    yield steps
    task.cancel()


async def test_callbacks_that_make_one_another_ready_run_in_one_turn():
    async with open_asyncio_loop():
        with turns() as counted:
            await aio_as_trio(step)(50)
    # To asyncio, through it, and back; one by one they would be fifty and more.
    assert counted.count < 10


async def test_asyncio_that_is_always_busy_does_not_keep_others_from_their_turn():
    with trio.fail_after(10):
        async with open_asyncio_loop(), busy_asyncio() as steps:
            await trio.lowlevel.checkpoint()
            before = steps[0]
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            assert 0 < steps[0] - before <= 6 * CALLBACKS_MAX


async def test_a_timer_of_asyncio_is_heard_by_a_loop_that_is_always_busy():
    with trio.fail_after(10):
        async with open_asyncio_loop(), busy_asyncio():
            await aio_as_trio(asyncio.sleep)(0.01)


async def test_what_is_ready_when_the_loop_ends_is_run():
    ran: list[int] = []

    async def make_ready() -> None:
        for number in range(3 * CALLBACKS_MAX):
            asyncio.get_running_loop().call_soon(ran.append, number)

    async with open_asyncio_loop():
        await aio_as_trio(make_ready)()
    assert len(ran) == 3 * CALLBACKS_MAX
