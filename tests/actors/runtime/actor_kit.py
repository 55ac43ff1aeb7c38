"""Small actors for tests of the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.runtime.ref import Request
from tocsin.actors.runtime.supervisor import Actor, Context, Supervisor, open_supervisor


class Add(msgspec.Struct, frozen=True):
    number: int


class Total(Request[int]):
    """Asks for the sum of all that came so far."""


class Fail(Request[int]):
    """Crash with `Boom`."""


class Boom(Exception):
    pass


class Adder(Actor[Any]):
    """Adds up what it is told; its total dies with it."""

    def __init__(self) -> None:
        self.total = 0

    async def receive(self, message: Any) -> None:
        match message:
            case Add(number=number):
                self.total += number
            case Total(reply=reply):
                reply.set(self.total)
            case _:
                raise Boom


class Slow(Actor[Any]):
    """Takes a second for each message, and notes what it has finished."""

    def __init__(self, done: list[Any]) -> None:
        self._done = done

    async def receive(self, message: Any) -> None:
        await pass_time(1)
        self._done.append(message)


class Deaf(Actor[Any]):
    """Never reads its mailbox."""

    async def run(self, context: Context[Any]) -> None:
        await trio.sleep_forever()


class Broken(Actor[Any]):
    """Fails as soon as it starts, and notes when that was."""

    def __init__(self, starts: list[float]) -> None:
        self._starts = starts

    async def run(self, context: Context[Any]) -> None:
        self._starts.append(trio.current_time())
        raise Boom


@asynccontextmanager
async def supervised(jitter: float = 0.0) -> AsyncIterator[Supervisor]:
    """A supervisor that is stopped in order at the end of the block."""
    async with open_supervisor("", lambda: jitter) as supervisor:
        yield supervisor
        await supervisor.stop(10)
