"""asyncio inside Trio: whole turns at a time, and no more than its share.

Also the contract with trio-asyncio, a private method of which is in use: another release that does
without it fails here.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
from structlog.testing import capture_logs
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


async def test_ready_callbacks_are_run_when_the_loop_ends():
    ran: list[int] = []

    async def make_ready() -> None:
        for number in range(3 * CALLBACKS_MAX):
            asyncio.get_running_loop().call_soon(ran.append, number)

    async with open_asyncio_loop():
        await aio_as_trio(make_ready)()
    assert len(ran) == 3 * CALLBACKS_MAX


# --- Faults that no task collects ----------------------------------------------------------------


async def fail_alone() -> None:
    """Start a task whose exception nobody asks for, and wait until it has failed."""

    async def fail() -> None:
        raise ZeroDivisionError("nobody asks")

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    # The task says so when it is collected as garbage.
    gc.collect()


def fail() -> None:
    raise ZeroDivisionError("in a callback")


async def fail_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)


@pytest.mark.parametrize("fault", [fail_alone, fail_in_a_callback])
async def test_a_fault_that_nobody_collects_is_told_and_counted_and_ends_nothing(fault):
    with capture_logs() as lines:
        async with open_asyncio_loop() as faults:
            other = await aio_as_trio(started)(asyncio.sleep(0.05, "done"))
            await aio_as_trio(fault)()
            assert await aio_as_trio(asyncio.wait_for)(other, 5) == "done"
            assert faults.count == 1
    [line] = lines
    assert (line["event"], line["log_level"]) == ("fault in asyncio", "error")
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_of_many_faults_few_lines_are_told_and_all_are_counted(autojump_clock):
    with capture_logs() as lines:
        async with open_asyncio_loop() as faults:
            for _ in range(100):
                await aio_as_trio(fail_in_a_callback)()
            await trio.sleep(10)  # waits for: the next line, on virtual time
            await aio_as_trio(fail_in_a_callback)()
            assert faults.count == 101
    assert [line["count"] for line in lines] == [1, 100]


async def started(coroutine):
    return asyncio.ensure_future(coroutine)
